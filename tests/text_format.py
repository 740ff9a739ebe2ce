"""Reads a scrape from the standard input as Prometheus' Python client does, and writes what it found as JSON."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

# Not sys.stdin itself: in text mode it would turn "\r\n" and "\r" into "\n" before the parser sees them.
text = sys.stdin.buffer.read().decode("utf-8")
samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
json.dump([[sample.name, sample.labels, sample.value] for sample in samples], sys.stdout)
