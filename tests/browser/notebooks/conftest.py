"""The notebook here is opened in JupyterLab by a browser test; it is not one to be executed for itself."""

collect_ignore_glob = ["*.ipynb"]
