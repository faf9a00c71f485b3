"""Parses the SQL of this folder as BigQuery's, and runs its views on DuckDB over rows as a subscription writes them."""

import json
import pathlib
import sys

import duckdb
import sqlglot
from sqlglot import exp

FOLDER = pathlib.Path(__file__).resolve().parent.parent
USER = "4700c85f-17e3-4304-aa7f-dc140173b08d"

# document, op, value, ts in ms, offset of the mutation (None: without message ids), publish time in s
OPERATIONS = [
    ("UserPoint", USER, "UPDATE", "{}", 1_000, 1, 10),
    ("UserSegment", f"{USER}:1", "UPDATE", '{"rank":1}', 1_000, 2, 10),
    ("UserSegment", f"{USER}:1", "UPDATE", '{"rank":2}', 1_000, 5, 10),  # the same ts and request, newer
    ("UserSegment", f"{USER}:1", "UPDATE", '{"rank":1}', 1_000, 2, 99),  # published again, late
    ("UserSegment", f"{USER}:2", "UPDATE", "{}", 2_000, 3, 11),
    ("UserSegment", f"{USER}:2", "DELETE", "{}", 3_000, 4, 12),  # deleted
    ("UserAgent", f"{USER}:vec:7", "DELETE", "{}", 3_000, 6, 13),
    ("UserAgent", f"{USER}:vec:7", "UPDATE", '{"new":true}', 2_500, 7, 13),  # made anew, with an older ts
    ("UserEmail", f"{USER}:a", "UPDATE", '{"n":1}', 1_000, None, 14),
    ("UserEmail", f"{USER}:a", "UPDATE", '{"n":2}', 2_000, None, 15),  # without ids: published last
    ("UserEmail", f"{USER}:b", "UPDATE", '{"n":1}', 1_000, None, 99),
    ("UserEmail", f"{USER}:b", "UPDATE", '{"n":2}', 1_000, 8, 20),  # rows with an id are newer
]

DOCUMENTS = {
    ("UserPoint", USER, "{}"),
    ("UserSegment", f"{USER}:1", '{"rank":2}'),
    ("UserAgent", f"{USER}:vec:7", '{"new":true}'),
    ("UserEmail", f"{USER}:a", '{"n":2}'),
    ("UserEmail", f"{USER}:b", '{"n":2}'),
}
COUNTS = {("UserPoint", 1), ("UserSegment", 1), ("UserAgent", 1), ("UserEmail", 2)}


def statements(name: str) -> list[exp.Expression]:
    """Raises where BigQuery's grammar, as sqlglot knows it, is broken."""
    text = (FOLDER / name).read_text()
    return [found for found in sqlglot.parse(text, read="bigquery", error_level=sqlglot.ErrorLevel.RAISE) if found]


def on_duckdb(view: exp.Expression) -> str:
    """The view for DuckDB, which has one project and data set, and no SAFE.PARSE_JSON."""
    for table in view.find_all(exp.Table):
        table.set("db", None)
        table.set("catalog", None)
    for safe in list(view.find_all(exp.SafeFunc)):
        safe.replace(safe.find(exp.Column))
    return view.sql(dialect="duckdb")


def rows(version: int) -> list[tuple]:
    """As often as a subscription may write them: the first one twice."""
    written = []
    for number, (doc_type, doc_id, op, value, ts, offset, seconds) in enumerate([*OPERATIONS, OPERATIONS[0]]):
        attributes = {"doc_type": doc_type}
        if offset is not None:
            attributes["message_id"] = f"00008-3-{offset:020d}"
        pubsub_id = str(1_000 + number % len(OPERATIONS))
        metadata = ("projects/acme/subscriptions/users", pubsub_id, seconds, json.dumps(attributes))
        operation = {"ts": ts, "doc_type": doc_type, "doc_id": doc_id, "op": op, "value": json.loads(value)}
        if version == 1:
            written.append((*metadata, json.dumps(operation, separators=(",", ":"))))
        else:
            written.append((*metadata, ts, 0, doc_id, doc_id[:36], op, value))
    return written


def run(version: int) -> None:
    connection = duckdb.connect()
    _, *views = statements(f"version-{version}.sql")
    metadata = "? AS subscription_name, ? AS message_id, to_timestamp(?) AS publish_time, ?::JSON AS attributes"
    columns = (
        "? AS data"
        if version == 1
        else "epoch_ms(?::BIGINT) AS ts, ? AS doc_type, ? AS doc_id, ? AS ctx_id, ? AS op, ? AS value"
    )
    for number, row in enumerate(rows(version)):
        verb = "INSERT INTO operations" if number else "CREATE TABLE operations AS"
        connection.execute(f"{verb} SELECT {metadata}, {columns}", row)
    for view in views:
        connection.execute(on_duckdb(view))
    found = set(connection.execute("SELECT doc_type, doc_id, value_text FROM documents").fetchall())
    assert found == DOCUMENTS, f"version {version}: documents are {found}"
    counts = set(connection.execute("SELECT doc_type, documents FROM document_counts").fetchall())
    assert counts == COUNTS, f"version {version}: counts are {counts}"
    (distinct,) = connection.execute("SELECT count(*) FROM distinct_operations").fetchone()
    assert distinct == len(OPERATIONS) - 1, f"version {version}: {distinct} distinct operations"


def main() -> int:
    for path in sorted(FOLDER.glob("*.sql")):
        print(f"{path.name}: {len(statements(path.name))} statements parsed")
    for version in (1, 2):
        run(version)
        print(f"version {version}: the views show what they should")
    return 0


if __name__ == "__main__":
    sys.exit(main())
