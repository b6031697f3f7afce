"""The dashboards of config/grafana without Grafana: live.py feeds a Prometheus, board.py asks it, draw.py draws."""
