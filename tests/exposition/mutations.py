"""Mistakes that a writer of protobuf could make. Each must be seen: by the checks, by a comparison with the text, or by
Prometheus."""

from google.protobuf.internal.encoder import _VarintBytes

from protobuf import decode, encode

MISTAKES = []


def mistake(function):
    MISTAKES.append(function)
    return function


def mutations(body):
    """The scrape with each mistake: its name, and the bytes."""
    for function in MISTAKES:
        families = decode(body)
        changed = function(families)
        yield function.__name__.replace("_", " "), encode(families) if changed is None else changed


def with_two_spans(families):
    """A native histogram with a gap between its buckets, and classic buckets."""
    histograms = [metric.histogram for family in families for metric in family.metric]
    return next(histogram for histogram in histograms if len(histogram.positive_span) > 1 and histogram.bucket)


def of_type(families, kind):
    return next(family for family in families if family.type == kind)


def bucket_with_exemplar(families):
    buckets = [bucket for family in families for metric in family.metric for bucket in metric.histogram.bucket]
    return next(bucket for bucket in buckets if bucket.HasField("exemplar"))


@mistake
def a_delta_with_the_wrong_sign(families):
    deltas = with_two_spans(families).positive_delta
    last = max(position for position, delta in enumerate(deltas) if delta)
    deltas[last] = -deltas[last]


@mistake
def absolute_counts_in_place_of_deltas(families):
    deltas = with_two_spans(families).positive_delta
    for position in range(1, len(deltas)):
        deltas[position] += deltas[position - 1]


@mistake
def a_missing_span(families):
    del with_two_spans(families).positive_span[-1]


@mistake
def a_span_that_is_too_short(families):
    with_two_spans(families).positive_span[0].length -= 1


@mistake
def a_span_that_is_too_long(families):
    with_two_spans(families).positive_span[0].length += 1


@mistake
def a_gap_that_is_too_long(families):
    with_two_spans(families).positive_span[1].offset += 1


@mistake
def buckets_one_too_high(families):
    with_two_spans(families).positive_span[0].offset += 1


@mistake
def buckets_one_too_low(families):
    with_two_spans(families).positive_span[0].offset -= 1


@mistake
def a_span_that_goes_back(families):
    with_two_spans(families).positive_span[1].offset = -1


@mistake
def a_bucket_with_one_more(families):
    with_two_spans(families).positive_delta[0] += 1


@mistake
def an_observation_in_the_next_bucket(families):
    deltas = with_two_spans(families).positive_delta
    deltas[0] -= 1
    deltas[1] += 2
    if len(deltas) > 2:
        deltas[2] -= 1


@mistake
def a_zero_bucket_with_one_more(families):
    with_two_spans(families).zero_count += 1


@mistake
def a_count_with_one_more(families):
    with_two_spans(families).sample_count += 1


@mistake
def a_count_with_one_less(families):
    with_two_spans(families).sample_count -= 1


@mistake
def another_sum(families):
    with_two_spans(families).sample_sum += 1


@mistake
def a_count_that_is_a_float(families):
    with_two_spans(families).sample_count_float = 1


@mistake
def another_schema(families):
    with_two_spans(families).schema = 2


@mistake
def no_zero_threshold(families):
    with_two_spans(families).ClearField("zero_threshold")


@mistake
def no_native_buckets(families):
    histogram = with_two_spans(families)
    for field in ["schema", "zero_threshold", "zero_count", "positive_span", "positive_delta"]:
        histogram.ClearField(field)


@mistake
def no_classic_buckets(families):
    del with_two_spans(families).bucket[:]


@mistake
def a_classic_bucket_that_is_not_cumulative(families):
    histogram = with_two_spans(families)
    full = next(bucket for bucket in histogram.bucket if bucket.cumulative_count > 0)
    full.cumulative_count = histogram.sample_count + 1


@mistake
def a_classic_bucket_with_one_less(families):
    full = next(bucket for bucket in with_two_spans(families).bucket if bucket.cumulative_count > 0)
    full.cumulative_count -= 1


@mistake
def another_classic_bound(families):
    with_two_spans(families).bucket[0].upper_bound *= 1.01


@mistake
def a_family_twice(families):
    families.append(families[0])


@mistake
def a_family_that_is_missing(families):
    del families[3]


@mistake
def an_empty_family(families):
    del of_type(families, 1).metric[:]


@mistake
def a_row_twice(families):
    metric = of_type(families, 0).metric
    metric.add().CopyFrom(metric[0])


@mistake
def a_row_that_is_missing(families):
    del of_type(families, 0).metric[-1]


@mistake
def a_counter_with_one_more(families):
    of_type(families, 0).metric[0].counter.value += 1


@mistake
def a_counter_without_a_value(families):
    of_type(families, 0).metric[0].counter.ClearField("value")


@mistake
def a_gauge_with_another_value(families):
    tracked = next(family for family in families if family.name == "openim_exporter_groups_tracked")
    tracked.metric[0].gauge.value += 1


@mistake
def a_counter_called_a_gauge(families):
    of_type(families, 0).type = 1


@mistake
def a_histogram_called_a_counter(families):
    of_type(families, 4).type = 0


@mistake
def no_type(families):
    of_type(families, 1).ClearField("type")


@mistake
def another_help(families):
    families[0].help += "."


@mistake
def another_unit(families):
    of_type(families, 4).unit = "seconds" if of_type(families, 4).unit == "bytes" else "bytes"


@mistake
def no_unit(families):
    of_type(families, 4).ClearField("unit")


@mistake
def another_name(families):
    families[0].name = "x" + families[0].name


@mistake
def another_label_value(families):
    of_type(families, 0).metric[0].label[0].value += " "


@mistake
def a_label_that_is_missing(families):
    del of_type(families, 0).metric[0].label[0]


@mistake
def a_label_twice(families):
    label = of_type(families, 0).metric[0].label
    label.add().CopyFrom(label[0])


@mistake
def a_time_of_a_sample(families):
    families[0].metric[0].timestamp_ms = 1


@mistake
def no_start(families):
    of_type(families, 4).metric[0].histogram.ClearField("created_timestamp")


@mistake
def a_start_in_the_future(families):
    of_type(families, 0).metric[0].counter.created_timestamp.seconds += 1_000_000


@mistake
def a_start_a_second_earlier(families):
    of_type(families, 0).metric[0].counter.created_timestamp.seconds -= 1


@mistake
def an_exemplar_in_another_bucket(families):
    bucket_with_exemplar(families).exemplar.value *= 1000


@mistake
def an_exemplar_without_a_time(families):
    bucket_with_exemplar(families).exemplar.ClearField("timestamp")


@mistake
def an_exemplar_that_is_missing(families):
    bucket_with_exemplar(families).ClearField("exemplar")


@mistake
def another_exemplar(families):
    bucket_with_exemplar(families).exemplar.label[0].value += "x"


def with_another_length(families, encoded):
    body, length = encode(families), families[0].ByteSize()
    return encoded(length) + body[len(_VarintBytes(length)) :]


@mistake
def a_length_that_is_one_too_short(families):
    return with_another_length(families, lambda length: _VarintBytes(length - 1))


@mistake
def a_length_that_is_one_too_long(families):
    return with_another_length(families, lambda length: _VarintBytes(length + 1))


@mistake
def a_length_that_is_padded(families):
    return with_another_length(families, lambda length: _VarintBytes(length + 2**35)[:-1] + b"\x00")


@mistake
def a_body_that_is_cut_off(families):
    return encode(families)[:-1]


@mistake
def a_body_without_its_last_family(families):
    del families[-1]


@mistake
def text_after_the_last_family(families):
    return encode(families) + b"# EOF\n"


@mistake
def a_field_that_does_not_exist(families):
    # Field 100, a varint.
    families[0].MergeFromString(b"\xa0\x06\x01")
