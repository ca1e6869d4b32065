"""Plotly charts of studies."""
