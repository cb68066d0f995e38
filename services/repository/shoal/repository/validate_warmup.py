"""Rules for `model_warmup`; sizes of warm-up files are checked where the samples are made."""

from __future__ import annotations

from collections.abc import Iterator

from shoal.repository.config.json_form import JsonForm
from shoal.repository.problems import Problem


def samples(config: JsonForm) -> Iterator[Problem]:
    model = config["name"]
    for sample in config["model_warmup"]:
        where = ("model_warmup", sample["name"])
        if not sample["name"]:
            yield Problem(f"must specify 'name' in warmup setting for {model}", ("model_warmup",))
        if not sample["inputs"]:
            yield Problem(f"must specify 'inputs' in warmup setting '{sample['name']}' for {model}", where)
        for name, tensor in sample["inputs"].items():
            if tensor["data_type"] == "TYPE_INVALID":
                yield Problem(f"warmup setting must specify 'data_type' for input '{name}' for {model}", where)
            if not {"zero_data", "random_data", "input_data_file"} & tensor.keys():
                yield Problem(
                    f"warmup setting must specify 'zero_data', 'random_data' or 'input_data_file' for input '{name}'"
                    f" for {model}",
                    where,
                )
            if any(size < 1 for size in tensor["dims"]):
                yield Problem(
                    f"warmup setting expects all variable-size dimensions are specified for input '{name}' for {model}",
                    where,
                )
