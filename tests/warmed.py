"""What a forked process finds done when it begins: the tables of the v1 tokenizer are built, a twin has been loaded."""

import gc

import workbench as wb

wb.load("twin-v0.2")
gc.collect()
gc.freeze()  # a collection in a forked process leaves these pages shared
