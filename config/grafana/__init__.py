"""
Dashboards for Grafana as code: described in Python, shipped as JSON.

overview.py, population.py, stores.py and beside.py say what they show, build.py writes dashboards/*.json. Nothing else
of ours is imported here.
"""
