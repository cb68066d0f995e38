from __future__ import annotations

from typing import Any

import pytest

from shoal.core.errors import InvalidArgument
from shoal.core.model_config import ModelConfig, from_json
from shoal.workers.signature import ModelSignature, TensorSignature, check, complete


def fp32(name: str, *shape: int) -> TensorSignature:
    return TensorSignature(name, "FP32", shape)


BATCHING = ModelSignature((fp32("A", -1, 4),), (fp32("X", -1, 2),))
FIXED = ModelSignature((fp32("A", 1, 4),), (fp32("X", 1, 2),))


def config(**fields: Any) -> ModelConfig:
    return from_json({"name": "m"} | fields)


def field(name: str, *dims: int, data_type: str = "TYPE_FP32", **more: Any) -> dict[str, Any]:
    return {"name": name, "data_type": data_type, "dims": list(dims)} | more


def test_a_batching_model_gets_the_default_limit_and_dynamic_batching() -> None:
    assert complete(config(), BATCHING, {}) == {
        "name": "m",
        "max_batch_size": 4,
        "dynamic_batching": {},
        "input": [field("A", 4)],
        "output": [field("X", 2)],
    }


def test_the_default_limit_comes_from_the_backend_settings() -> None:
    completed = complete(config(), BATCHING, {"default-max-batch-size": "16"})
    assert completed["max_batch_size"] == 16


def test_a_default_limit_of_zero_means_no_batching() -> None:
    completed = complete(config(), BATCHING, {"default-max-batch-size": "0"})
    assert (completed["max_batch_size"], "dynamic_batching" in completed) == (0, False)
    assert completed["input"] == [field("A", -1, 4)]


def test_a_default_limit_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="default-max-batch-size is 'many', expected a whole number"):
        complete(config(), BATCHING, {"default-max-batch-size": "many"})


def test_a_given_limit_stays() -> None:
    assert complete(config(max_batch_size=7), BATCHING, {})["max_batch_size"] == 7


def test_a_limit_of_one_needs_no_scheduler() -> None:
    assert "dynamic_batching" not in complete(config(max_batch_size=1), BATCHING, {})


def test_a_scheduler_that_is_there_stays() -> None:
    completed = complete(config(sequence_batching={"x": 1}), BATCHING, {})
    assert ("dynamic_batching" in completed, completed["sequence_batching"]) == (False, {"x": 1})


def test_what_is_given_is_not_described_again() -> None:
    completed = complete(config(input=[field("OTHER", 4)]), BATCHING, {})
    assert (completed["input"], completed["output"]) == ([field("OTHER", 4)], [field("X", 2)])


def test_a_model_with_fixed_first_dimensions_does_not_batch() -> None:
    completed = complete(config(), FIXED, {})
    assert (completed["max_batch_size"], completed["input"]) == (0, [field("A", 1, 4)])


def test_a_limit_for_a_model_that_cannot_batch_is_refused() -> None:
    expected = (
        "autofill failed for model 'm': model does not support batching while non-zero max_batch_size is specified"
    )
    with pytest.raises(InvalidArgument) as refused:
        complete(config(max_batch_size=4), FIXED, {})
    assert refused.value.message == expected


def test_a_scalar_behind_the_batch_is_reshaped() -> None:
    scalar = ModelSignature((fp32("A", -1),), (fp32("X", -1),))
    assert complete(config(), scalar, {})["input"] == [field("A", 1, reshape={"shape": []})]


def test_the_configuration_itself_is_not_changed() -> None:
    given = config()
    complete(given, BATCHING, {})
    assert given.raw == {"name": "m"}


def checked(**fields: Any) -> str:
    """What `check` says to a configuration of BATCHING with these changes; empty when it fits."""
    base = {"max_batch_size": 4, "input": [field("A", 4)], "output": [field("X", 2)]}
    try:
        check(config(**(base | fields)), BATCHING)
    except InvalidArgument as error:
        return error.message
    return ""


def test_a_configuration_that_fits_passes() -> None:
    assert checked() == ""


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"input": [field("A", 4), field("B", 4)]},
            "unable to load model 'm', configuration expects 2 inputs, model provides 1",
        ),
        ({"input": [field("B", 4)]}, "unexpected inference input 'B', allowed inputs are: A"),
        ({"output": [field("Y", 2)]}, "unexpected inference output 'Y', allowed outputs are: X"),
        (
            {"input": [field("A", 4, data_type="TYPE_INT32")]},
            "unable to load model 'm', configuration expects datatype TYPE_INT32 for input 'A', model provides "
            "TYPE_FP32",
        ),
        (
            {"input": [field("A", 5)]},
            "model 'm', tensor 'A': the model expects 2 dimensions (shape [-1,4]) but the model configuration "
            "specifies 2 dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit "
            "tensor shape, making complete shape [-1,5])",
        ),
        (
            {"max_batch_size": 0},
            "model 'm', tensor 'A': the model expects 2 dimensions (shape [-1,4]) but the model configuration "
            "specifies 1 dimensions (shape [4])",
        ),
    ],
)
def test_what_does_not_fit_is_named(fields: dict[str, Any], expected: str) -> None:
    assert checked(**fields) == expected


def test_batching_needs_a_variable_first_dimension() -> None:
    with pytest.raises(InvalidArgument) as refused:
        check(config(max_batch_size=4, input=[field("A", 4)], output=[field("X", 2)]), FIXED)
    assert refused.value.message == (
        "model 'm', tensor 'A': for the model to support batching the shape should have at least 1 dimension and the "
        "first dimension must be -1; but shape expected by the model is [1,4]"
    )


def test_the_reshape_is_what_the_model_has_to_fit() -> None:
    assert checked(input=[field("A", 2, 2, reshape={"shape": [4]})]) == ""


def test_variable_outputs_of_the_configuration_are_fine_and_variable_inputs_are_not() -> None:
    assert checked(output=[field("X", -1)]) == ""
    assert "the model expects 2 dimensions" in checked(input=[field("A", -1)])


def test_fewer_outputs_than_the_model_has_are_fine() -> None:
    two = BATCHING._replace(outputs=(fp32("X", -1, 2), fp32("Y", -1, 2)))
    check(config(max_batch_size=4, input=[field("A", 4)], output=[field("Y", 2)]), two)


def test_optional_inputs_may_be_in_the_configuration_or_not() -> None:
    model = BATCHING._replace(optional_inputs=(fp32("O", 3),))
    base = config(max_batch_size=0, input=[field("A", -1, 4)], output=[field("X", -1, 2)])
    check(base, model)
    more = config(input=[field("A", -1, 4), field("O", 3, optional=True)], output=[field("X", -1, 2)])
    check(more, model)


def test_controls_and_states_of_sequences_count_as_inputs() -> None:
    model = BATCHING._replace(inputs=(fp32("A", -1, 4), fp32("START", -1, 1), fp32("STATE", -1, 1)))
    batching = {"control_input": [{"name": "START"}], "state": [{"input_name": "STATE"}]}
    check(config(max_batch_size=4, input=[field("A", 4)], output=[field("X", 2)], sequence_batching=batching), model)
