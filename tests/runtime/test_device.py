import copy
import os

import pytest
import torch
from torch import nn

from models.dcgan import DCGANGenerator
from runtime.device import Execution, choose_execution
from runtime.errors import UserError
from runtime.processes import join_processes

CPU = torch.device("cpu")


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.parametrize(("precision", "computed"), [("bf16", torch.bfloat16), ("float32", torch.float32)])
def test_precision_is_that_of_products_not_of_parameters(precision, computed):
    execution = choose_execution("cpu", precision)
    layer = execution.place(nn.Conv2d(3, 4, 3))
    with execution.autocast():
        assert layer(torch.zeros(1, 3, 8, 8)).dtype == computed
    assert layer.weight.dtype == torch.float32


def test_bf16_is_close_to_float32():
    torch.manual_seed(0)
    generator = DCGANGenerator(latent_size=16, width=8)
    latents = torch.randn(8, 16)
    images = {}
    for precision in ("float32", "bf16"):
        with torch.no_grad(), choose_execution("cpu", precision).autocast():
            images[precision] = generator(latents).float()
    difference = (images["bf16"] - images["float32"]).abs().max()
    assert 0 < difference < 0.02 < images["float32"].abs().max()


@pytest.mark.parametrize("hardware_has_it", [True, False])
def test_auto_takes_bf16_where_the_hardware_computes_in_it(monkeypatch, without_gpu, hardware_has_it):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: hardware_has_it)
    execution = choose_execution()
    assert execution.device == CPU
    assert execution.precision == ("bf16" if hardware_has_it else "float32")


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_gpus_products_are_rounded_only_if_asked(monkeypatch, precision):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_execution("cuda", precision).precision == precision
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == (precision == "tf32")


def test_what_equal_bits_need_is_set(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        for deterministic in (False, True):
            choose_execution("cuda", "float32", deterministic=deterministic)
            assert torch.are_deterministic_algorithms_enabled() == deterministic != torch.backends.cudnn.benchmark
            assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == deterministic
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_process_without_a_gpu_of_its_own_is_an_error(monkeypatch, without_gpu):
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(UserError, match=r"no GPU for process 1 of this machine \(0 found\): start fewer, or use"):
        join_processes("cuda")


def test_memory_format_changes_the_layout_and_not_the_images():
    torch.manual_seed(0)
    generator = DCGANGenerator(latent_size=16, width=8)
    latents = torch.randn(4, 16)
    expected = generator(latents)
    placed = Execution(CPU, channels_last=True).place(generator)
    assert placed.layers[3].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(placed(latents), expected, atol=1e-5, rtol=0)
    Execution(CPU, channels_last=False).place(generator)
    assert generator.layers[3].weight.is_contiguous()


def test_a_network_is_compiled_only_if_asked(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda call, mode: lambda inputs: (call(inputs), mode))
    inputs = torch.ones(1, 2)
    for compile, mode in (("off", None), ("default", "default"), ("cuda-graphs", "reduce-overhead")):
        network = nn.Linear(2, 2)
        expected = network(inputs)
        prepared = Execution(CPU, compile=compile).prepare(network)
        assert prepared is network  # what is called is what is saved
        outputs = prepared(inputs)
        assert torch.equal(*((outputs, expected) if mode is None else (outputs[0], expected)))
        assert mode is None or outputs[1] == mode
        assert torch.equal(copy.deepcopy(prepared)(inputs), expected)  # an average is not compiled


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda"}, r"no GPU for --device cuda \(0 found\): use --device cpu or auto"),
        ({"device": "cuda:3"}, r"no GPU for --device cuda:3 \(0 found\)"),
        ({"device": "toaster"}, "unknown device 'toaster': use auto, cpu, cuda or cuda:N"),
        ({"device": "meta"}, "unknown device 'meta': use auto, cpu, cuda or cuda:N"),
        ({"device": "cuda:x"}, "unknown device 'cuda:x': use auto, cpu, cuda or cuda:N"),
        (
            {"device": "cpu", "compile": "cuda-graphs"},
            "--compile cuda-graphs needs a GPU: use --compile",
        ),
        ({"device": "cpu", "precision": "tf32"}, "--precision tf32 needs a GPU: use float32 or bf16"),
    ],
)
def test_what_is_not_there_is_an_error(without_gpu, options, message):
    with pytest.raises(UserError, match=message):
        choose_execution(**options)
