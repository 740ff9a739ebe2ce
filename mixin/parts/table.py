"""Makes the tables of the dashboards."""

from .panel import COUNT, EMPTY, LETTERS, override, panel, steps, words


def colored(shown):
    """The settings of a column whose text has colours."""
    return {"mappings": words(shown), "custom__cellOptions": {"type": "color-text"}}


class Column:
    """A column with the values of an expression, or without one, with the values of a label."""

    def __init__(self, name, source, unit=None, **settings):
        self.name, self.source, self.is_label = name, source, unit is None
        # A label is a text, even if it looks like a number. `short` would show a group's ID as 2.48 Bil. An empty cell has
        # its own words, because those of the panel explain an empty table.
        self.override = override(name, **{"unit": unit or "string", "noValue": "-"} | settings)


def organized(columns, values, hidden):
    """Orders and names the columns, and hides the time and the values that only carry a label."""
    keys = [column.source if column.is_label else f"Value #{LETTERS[values.index(column)]}" for column in columns]
    rename = dict(zip(keys, (column.name for column in columns), strict=True))
    # Without the letter if only the first query has data.
    rename["Value"] = values[0].name if values else ""
    excluded = {"Time": True, "Value": not values} | {key: True for key in hidden}
    order = {key: place for place, key in enumerate(keys)}
    organize = {"excludeByName": excluded, "indexByName": order, "renameByName": rename}
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]


def options(sort, descending=True):
    return {
        "showHeader": True,
        "cellHeight": "sm",
        "frameIndex": 0,
        "footer": {"show": False, "reducer": ["sum"], "countRows": False},
        "sortBy": [{"displayName": sort, "desc": descending}],
    }


def table(title, description, columns, sort, more=(), hidden=(), empty=EMPTY, size=(24, 8), descending=True):
    """A table, sorted by a column. `more` are expressions that only carry labels."""
    values = [column for column in columns if not column.is_label]
    sources = [column.source for column in values] + list(more)
    carriers = [f"Value #{letter}" for letter in LETTERS[len(values) : len(sources)]]
    targets = [(source, "") for source in sources]
    overrides = [column.override for column in columns]
    made = panel("table", title, description, targets, {"noValue": empty}, options(sort, descending), size, overrides, instant=True, form="table")
    made["transformations"] = organized(columns, values, [*hidden, *carriers])
    return made


def counts(title, description, names, value, *targets, size):
    """A table with a row for each series: its legend, and its last value, which is orange unless it is 0."""
    orange = {"thresholds": steps((None, "text"), (0.5, "orange")), "custom__cellOptions": {"type": "color-text"}}
    overrides = [Column(names, "Field").override, Column(value, "Last *", COUNT, decimals=0, custom__width=90, **orange).override]
    made = panel("table", title, description, targets, {}, options(value), size, overrides, instant=True)
    organize = {"excludeByName": {}, "indexByName": {}, "renameByName": {"Field": names, "Last *": value}}
    reduce = {"mode": "seriesToRows", "reducers": ["lastNotNull"]}
    made["transformations"] = [{"id": "reduce", "options": reduce}, {"id": "organize", "options": organize}]
    return made
