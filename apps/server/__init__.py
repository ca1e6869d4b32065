"""Who may ask the served app for what, how much of it, and in which order; knows no page and no model.

`settings.py` states the limits, `admission.py` gives turns at the models, `rates.py` counts requests of an address,
`door.py` stands before every request, `metrics.py` tells the operator what happened.
"""
