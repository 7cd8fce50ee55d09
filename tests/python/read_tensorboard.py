#!/usr/bin/env python3
"""Print what TensorBoard's own reader finds in a folder of event files, as one JSON object.

  read_tensorboard.py FOLDER

Needs the package `tensorboard`. The object holds
  scalars   {tag: [[step, value, wall time], ...]}; numbers that are not finite as "nan", "inf", "-inf"
  images    {tag: [{"step", "width", "height", "bytes", "sha256"}, ...]}
  hparams   what the HPARAMS tab shows: {"values": {name: value}, "columns": {name: type}, "metrics": [tag],
            "status": name, "start": secs, "end": secs}; null where a run has none
  groups    what the tab's own query answers for the folder: [{"hparams": {name: value}, "metrics": {tag: value}}]
Exit code 0, or 2 if the folder holds no event file.
"""

import hashlib
import json
import math
import pathlib
import sys

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups, metadata, plugin_data_pb2
from tensorboard.plugins.base_plugin import TBContext

EVERYTHING = {event_accumulator.SCALARS: 0, event_accumulator.IMAGES: 0, event_accumulator.TENSORS: 0}


def number(value):
    """A number that every JSON reader takes."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def scalars(events):
    def rows(tag):
        return [[one.step, number(one.value), one.wall_time] for one in events.Scalars(tag)]

    return {tag: rows(tag) for tag in sorted(events.Tags()["scalars"])}


def images(events):
    def one(image):
        data = image.encoded_image_string
        digest = hashlib.sha256(data).hexdigest()
        return {"step": image.step, "width": image.width, "height": image.height, "bytes": len(data), "sha256": digest}

    return {tag: [one(image) for image in events.Images(tag)] for tag in sorted(events.Tags()["images"])}


def plain(value):
    """A protobuf value as what it holds."""
    kind = value.WhichOneof("kind")
    return None if kind in (None, "null_value") else getattr(value, kind)


def hparams(events):
    try:
        contents = events.PluginTagToContent(metadata.PLUGIN_NAME)
    except KeyError:
        return None

    def parsed(tag):
        data = plugin_data_pb2.HParamsPluginData()
        data.MergeFromString(contents.get(tag, b""))
        return data

    experiment = parsed(metadata.EXPERIMENT_TAG).experiment
    start = parsed(metadata.SESSION_START_INFO_TAG).session_start_info
    end = parsed(metadata.SESSION_END_INFO_TAG).session_end_info
    return {
        "values": {name: plain(value) for name, value in start.hparams.items()},
        "columns": {info.name: api_pb2.DataType.Name(info.type) for info in experiment.hparam_infos},
        "metrics": [info.name.tag for info in experiment.metric_infos],
        "status": api_pb2.Status.Name(end.status),
        "start": start.start_time_secs,
        "end": end.end_time_secs,
    }


def groups(folder):
    """The HPARAMS tab's rows, by the plugin's own code."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    context = backend_context.Context(TBContext(logdir=str(folder), data_provider=provider))
    request_context = RequestContext()
    statuses = [api_pb2.Status.Value(name) for name in api_pb2.Status.keys()]
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=1000, allowed_statuses=statuses)
    tags = context.hparams_metadata(request_context, "")
    experiment = context.experiment_from_metadata(
        request_context, "", True, tags, context.hparams_from_data_provider(request_context, "", None)
    )
    for info in experiment.hparam_infos:
        request.col_params.add(hparam=info.name)
    for info in experiment.metric_infos:
        request.col_params.add(metric=info.name)
    answer = list_session_groups.Handler(
        request_context=request_context, backend_context=context, experiment_id="", request=request
    ).run()
    return [
        {
            "hparams": {name: plain(value) for name, value in sorted(group.hparams.items())},
            "metrics": {one.name.tag: number(one.value) for one in group.metric_values},
        }
        for group in answer.session_groups
    ]


def main():
    folder = pathlib.Path(sys.argv[1])
    if not any(folder.rglob("events.out.tfevents.*")):
        print(f"no event files below {folder}", file=sys.stderr)
        return 2
    events = event_accumulator.EventAccumulator(str(folder), size_guidance=EVERYTHING)
    events.Reload()
    found = {"scalars": scalars(events), "images": images(events), "hparams": hparams(events)}
    found["groups"] = groups(folder)
    json.dump(found, sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
