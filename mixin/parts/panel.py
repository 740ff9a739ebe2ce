"""Makes the panels of the dashboards."""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# `$S` in an expression selects the exporters. `$J` selects the jobs, for recorded series without an instance.
SELECT = 'job=~"$job", instance=~"$instance"'
JOBS = 'job=~"$job"'
# Four scrape intervals of five minutes. Used where $__rate_interval is not defined or too short: the scrape interval of
# /metrics/groups may be longer than that of the data source.
LONG = "[20m]"
# Selects the exporter's `process_*` metrics: other programs have them too.
OURS = "and on (job, instance) openim_exporter_build_info"
WIDTH = 24
LETTERS = "ABCDEFGHIJKLMN"
# What a panel without data shows, unless it knows a better reason.
EMPTY = "No data: is the exporter up?"
# Numbers of things, with all their digits.
COUNT = "locale"
DURATION = {"unit": "s"}
# Labels with so few values that a legend needs no table.
FEW = ("kind", "source", "chat")
# The top of the axis if all values are 0. Without it, Grafana puts the zeros in the middle.
LOWEST_TOP = {"mps": 1, "reqps": 1, "Bps": 1000, "short": 1, "percentunit": 1, "s": 0.001, "none": 0.1}


def filled(expression):
    return expression.replace("$S", SELECT).replace("$J", JOBS)


def steps(*pairs):
    """Colours by value. The first pair has no value. Panels without data also have its colour."""
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in pairs]}


def words(texts):
    """Texts that replace values, with their colours."""
    shown = {str(value): {"text": text, "color": color, "index": index} for index, (value, (text, color)) in enumerate(texts.items())}
    return [{"type": "value", "options": shown}]


def override(name, how="byName", **properties):
    """Settings of the field with this name. In the keywords, `__` is a dot."""
    listed = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": how, "options": name}, "properties": listed}


def queries(targets, instant, form):
    made = []
    for letter, (expression, legend) in zip(LETTERS, targets, strict=False):
        target = {"refId": letter, "datasource": SOURCE, "expr": filled(expression), "legendFormat": legend}
        target |= {"instant": instant, "range": not instant, "editorMode": "code"}
        made.append(target | {"format": form, "exemplar": form == "heatmap"})
    return made


def panel(kind, title, description, targets, defaults, options, size, overrides=(), instant=False, form="time_series"):
    """A panel. Its targets are pairs of an expression and a legend, its size the width and the height."""
    made = queries(targets, instant, form)
    if not all("$instance" in target["expr"] for target in made):
        description += " Ignores the selected instances."
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": size[0], "h": size[1]},
        "fieldConfig": {"defaults": {"mappings": [], "noValue": EMPTY} | defaults, "overrides": list(overrides)},
        "options": options,
        "targets": made,
    }


def stat(title, description, unit, *targets, empty=EMPTY, limits=(), base="text", filled_in=False, size=(4, 4), overrides=(), **more):
    """A number, or one number for each series. `filled_in` colours the whole panel instead of the number."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background" if filled_in else "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        # For a single series, `auto` would show only the number, without its name.
        "textMode": "value_and_name" if targets[0][1] else "auto",
        "wideLayout": False,
        "text": {"titleSize": 16},
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }
    thresholds = steps((None, base), *limits)
    defaults = {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": thresholds, "noValue": empty} | more
    return panel("stat", title, description, targets, defaults, options, size, overrides, instant=True)


def legend_of(targets, in_order):
    """A list, or a table with the last and the highest value, if there may be more than four series."""
    labels = [part.split("}}")[0] for _, legend in targets for part in legend.split("{{")[1:]]
    if len(targets) <= 4 and all(label in FEW for label in labels):
        return {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    table = {"displayMode": "table", "placement": "right", "showLegend": True, "calcs": ["lastNotNull", "max"]}
    return table if in_order else table | {"sortBy": "Last *", "sortDesc": True}


def lines(title, description, unit, *targets, empty=EMPTY, stack=False, top=None, most=None, limits=(), log=False, in_order=False, size=(12, 8), overrides=()):
    """A graph over time. `top` is the top of the axis for small values, `most` for all. `in_order` keeps the order of the targets."""
    top = LOWEST_TOP.get(unit) if top is None else top
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if stack else 5,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "thresholdsStyle": {"mode": "line" if limits else "off"},
        "scaleDistribution": {"type": "log", "log": 10} if log else {"type": "linear"},
    }
    if top is not None and not log:
        custom["axisSoftMax"] = top
    defaults = {"unit": unit, "color": {"mode": "palette-classic-by-name"}, "noValue": empty, "custom": custom}
    defaults["thresholds"] = steps((None, "transparent"), *limits)
    defaults |= {} if log else {"min": 0}
    defaults |= {"max": most} if most is not None else {}
    options = {"legend": legend_of(targets, in_order), "tooltip": {"mode": "multi", "sort": "none" if in_order else "desc"}}
    return panel("timeseries", title, description, targets, defaults, options, size, overrides)


def bars(title, description, unit, target, empty=EMPTY, limits=None, size=(12, 8), **more):
    """A bar for each series, with the colours of the limits, or otherwise those of the names."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "displayMode": "basic",
        "orientation": "horizontal",
        "valueMode": "color",
        "namePlacement": "auto",
        "showUnfilled": True,
        "sizing": "auto",
        "minVizWidth": 8,
        "minVizHeight": 16,
        "maxVizHeight": 300,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
    }
    # For a single series, Grafana would show only the number, without its name.
    name = target[1].replace("{{", "${__field.labels.").replace("}}", "}")
    defaults = {"unit": unit, "min": 0, "displayName": name, "noValue": empty, "thresholds": steps(*limits or [(None, "green")])}
    defaults["color"] = {"mode": "thresholds" if limits else "palette-classic-by-name"}
    return panel("bargauge", title, description, [target], defaults | more, options, size, instant=True)


def heatmap(title, description, *targets, empty=EMPTY):
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange", "reverse": False},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "s"},
    }
    return panel("heatmap", title, description, targets, {"unit": "s", "noValue": empty}, options, (12, 8), form="heatmap")


def row(title, *hidden):
    """A heading; or, with panels, a row that hides them until someone opens it."""
    return {"type": "row", "title": title, "collapsed": bool(hidden), "panels": list(hidden), "gridPos": {"w": WIDTH, "h": 1}}


def link(title, url, new_tab=True):
    return {"title": title, "url": url, "targetBlank": new_tab}


def group_link(of_group):
    """A link to the dashboard of the group that this variable of Grafana has."""
    same = "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}"
    return [link("Dashboard of this group", f"/d/openim-group?var-group=${{{of_group}:percentencode}}&{same}", False)]



def placed(panels, number=1, y=0):
    """Gives the panels numbers, and places them side by side as far as they fit."""
    x = tallest = 0
    for each in panels:
        each["id"] = number
        at = each["gridPos"]
        if x + at["w"] > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        at |= {"x": x, "y": y}
        x, tallest = x + at["w"], max(tallest, at["h"])
        number += 1
        if each["type"] == "row":
            placed(each["panels"], number, y + 1)
            number += len(each["panels"])
    return panels
