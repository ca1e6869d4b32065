"""The embedded pair: its language, how it is trained, and how it is measured."""
