"""The workbench as a Hugging Face Space: `build.py` writes the folder that is pushed, `app.py` is what runs there."""
