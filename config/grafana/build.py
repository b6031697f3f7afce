"""`python -m config.grafana.build` writes the JSON that Grafana reads. This file names the dashboards."""

import json
from pathlib import Path

from config.grafana.beside import BESIDE
from config.grafana.layout import dashboard_json
from config.grafana.overview import OVERVIEW
from config.grafana.population import POPULATION
from config.grafana.stores import STORES

FOLDER = Path(__file__).with_name("dashboards")


def documents() -> dict[str, str]:
    """Answer the text of each file, by its name."""
    dashboards = {"overview": OVERVIEW, "population": POPULATION, "stores": STORES, "beside": BESIDE}
    return {
        f"{name}.json": json.dumps(dashboard_json(one), indent=1, ensure_ascii=False) + "\n"
        for name, one in dashboards.items()
    }


def main() -> None:
    """Write them all."""
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
