"""Applications around the library: they lay out, wire and draw; the science is in `workbench`."""
