"""How the page looks: Gradio's own parts in the colours of the views, local fonts only, and the page's style sheet."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

FONTS = ("Inter", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONOSPACED = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def studio_theme() -> gr.themes.Base:
    """Gradio's base theme on the views' CSS variables, which change between light and dark by themselves. Font names
    are plain strings: Gradio would ask a server for anything else."""
    both = {
        "body_background_fill": "var(--wb-ground)",
        "body_text_color": "var(--wb-ink)",
        "body_text_color_subdued": "var(--wb-muted)",
        "background_fill_primary": "var(--wb-surface)",
        "background_fill_secondary": "var(--wb-ground)",
        "block_background_fill": "var(--wb-surface)",
        "block_border_color": "var(--wb-line)",
        "block_label_text_color": "var(--wb-muted)",
        "block_title_text_color": "var(--wb-ink)",
        "block_info_text_color": "var(--wb-muted)",
        "border_color_primary": "var(--wb-line)",
        "border_color_accent": "var(--wb-accent)",
        "color_accent": "var(--wb-accent)",
        "color_accent_soft": "var(--wb-accent-soft)",
        "input_background_fill": "var(--wb-surface)",
        "input_border_color": "var(--wb-line)",
        "input_border_color_focus": "var(--wb-accent)",
        "input_placeholder_color": "var(--wb-muted)",
        "button_primary_background_fill": "var(--wb-action)",
        "button_primary_background_fill_hover": "var(--wb-action-strong)",
        "button_primary_text_color": "var(--wb-on-action)",
        "button_primary_border_color": "transparent",
        "button_secondary_background_fill": "var(--wb-surface)",
        "button_secondary_background_fill_hover": "var(--wb-well)",
        "button_secondary_text_color": "var(--wb-ink)",
        "button_secondary_border_color": "var(--wb-line)",
        "slider_color": "var(--wb-accent)",
    }
    plain = {
        "block_shadow": "none",
        "block_border_width": "0px",
        "block_padding": "0px",
        "layout_gap": "10px",
        "button_large_radius": "9px",
        "button_small_radius": "99px",
        "input_radius": "10px",
        "block_radius": "12px",
    }
    dark = {f"{name}_dark": value for name, value in both.items() if name != "color_accent"}  # one for both
    return gr.themes.Base(font=list(FONTS), font_mono=list(MONOSPACED)).set(**both, **dark, **plain)


SHEETS = ("studio.css", "runs.css", "compare.css", "context.css", "opinions.css")


def page_css() -> str:
    """The pages' own style sheets."""
    folder = Path(__file__).parent
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in SHEETS)
