"""What three readers of Parquet find in a table, as one JSON object: {"pandas": {column: [cell, …]}, "polars": …, "duckdb": …}.

usage: read_tables.py FILE

Numbers that are not finite are the texts "nan", "inf" and "-inf", so that they stand apart from null.
"""

import datetime
import json
import math
import sys

import duckdb
import pandas
import polars


def plain(cell):
    """A cell as JSON has it."""
    if cell is None or cell is pandas.NA:
        return None
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    if isinstance(cell, (list, tuple)):
        return [plain(one) for one in cell]
    if isinstance(cell, float) and not math.isfinite(cell):
        return "nan" if math.isnan(cell) else "inf" if cell > 0 else "-inf"
    if isinstance(cell, datetime.date):
        return cell.isoformat()
    return cell


def of_pandas(path):
    # Arrow's own types: those of NumPy know no difference between null and NaN.
    table = pandas.read_parquet(path, dtype_backend="pyarrow")
    return {name: [plain(cell) for cell in table[name].array._pa_array.to_pylist()] for name in table.columns}


def of_polars(path):
    table = polars.read_parquet(path)
    return {name: [plain(cell) for cell in table[name].to_list()] for name in table.columns}


def of_duckdb(path):
    found = duckdb.sql(f"SELECT * FROM read_parquet('{path}')")
    rows = found.fetchall()
    return {name: [plain(row[at]) for row in rows] for at, name in enumerate(found.columns)}


def main():
    path = sys.argv[1]
    found = {"pandas": of_pandas(path), "polars": of_polars(path), "duckdb": of_duckdb(path)}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
