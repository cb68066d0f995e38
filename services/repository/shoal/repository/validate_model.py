"""Rules for a configuration as a whole: name, backend and platform, version policy, cache, metrics."""

from __future__ import annotations

from collections.abc import Iterator

from shoal.repository import platforms
from shoal.repository.config.json_form import JsonForm
from shoal.repository.problems import Problem


def name(config: JsonForm, directory: str) -> Iterator[Problem]:
    found = config["name"]
    if found != directory:
        yield Problem(
            f"unexpected directory name '{directory}' for model '{found}', directory name must equal model name",
            ("name",),
        )


def backend(config: JsonForm) -> Iterator[Problem]:
    model, chosen, platform = config["name"], config["backend"], config["platform"]
    is_ensemble = platform == platforms.ENSEMBLE
    if chosen and is_ensemble:
        yield Problem(
            f"Ensemble model '{model}' must have platform type 'ensemble' and empty backend type", ("backend",)
        )
    elif not chosen and not platform:
        yield Problem(f"must specify 'platform' or 'backend' for '{model}'")
    elif not chosen and not is_ensemble:
        yield Problem(f"unexpected platform type '{platform}' for {model}", ("platform",))
    elif chosen:
        yield from _pair(chosen, platform)


def _pair(backend: str, platform: str) -> Iterator[Problem]:
    framework = platforms.of_platform(platform)
    if platforms.has_platforms(backend):
        fits = framework is not None and framework.backend == backend
    else:
        fits = framework is None
    if not fits:
        yield Problem(f"unexpected 'platform' and 'backend' pair, got:{platform}, {backend}", ("platform",))


def max_batch_size(config: JsonForm) -> Iterator[Problem]:
    if config["max_batch_size"] < 0:
        yield Problem(f"'max_batch_size' must be non-negative value for {config['name']}", ("max_batch_size",))


def response_cache(config: JsonForm) -> Iterator[Problem]:
    if not config.get("response_cache", {}).get("enable"):
        return
    text = f"Response Cache does not currently support model {config['name']} with"
    remedy = "Please disable the response cache."
    if "sequence_batching" in config:
        yield Problem(f"{text} sequence batching scheduler. {remedy}", ("response_cache",))
    if config.get("model_transaction_policy", {}).get("decoupled"):
        yield Problem(f"{text} 'decoupled' transaction policy. {remedy}", ("response_cache",))


def model_metrics(config: JsonForm) -> Iterator[Problem]:
    for control in config.get("model_metrics", {}).get("metric_control", ()):
        where = ("model_metrics", "metric_control")
        if "metric_identifier" not in control:
            yield Problem("metric control must specify 'metric_identifier'", where)
        elif not control["metric_identifier"]["family"]:
            yield Problem("metric identifier must specify non-empty 'family'", where)
        if "histogram_options" not in control:
            yield Problem("metric control must specify 'histogram_options'", where)
        elif not control["histogram_options"]["buckets"]:
            yield Problem("histogram options must specify non-empty 'buckets'", where)
