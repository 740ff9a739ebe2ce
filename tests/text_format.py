"""Reads a scrape from standard input with Prometheus' Python client, and writes its samples as JSON.

With the argument "openmetrics", it reads OpenMetrics. Each sample includes its exemplar, or null.
"""

import json
import sys

import prometheus_client.openmetrics.parser
import prometheus_client.parser

# Not sys.stdin itself, because text mode would convert "\r\n" and "\r" to "\n".
text = sys.stdin.buffer.read().decode("utf-8")
if sys.argv[1:] == ["openmetrics"]:
    families = prometheus_client.openmetrics.parser.text_string_to_metric_families(text)
else:
    families = prometheus_client.parser.text_string_to_metric_families(text)


def exemplar(sample):
    found = sample.exemplar
    return found and [found.labels, found.value, float(found.timestamp)]


samples = [sample for family in families for sample in family.samples]
json.dump([[sample.name, sample.labels, sample.value, exemplar(sample)] for sample in samples], sys.stdout)
