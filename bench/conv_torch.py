"""The training steps of models/adgm_conv.dgm and models/vat.dgm in PyTorch, as a user would write them by hand for speed: the windows of x
are multiplied once and not once for each class, channels last, fused Adam.

    conv_torch.py adgm_conv --modes eager,compiled,eager-bf16,compiled-bf16 --steps 30
    conv_torch.py vat --check DGC           # compares the parameters and the loss with dgc's

Prints the median time of a step for each mode. THREADS is the number of threads. The parameters have dgc's names. The line `smooth` needs
a gradient within the step, so the compiled parts of the step are the bound, the divergence and their gradients."""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

SIDE, CLASSES = 28, 10
MODELS = pathlib.Path(__file__).resolve().parent.parent / "models"


def rows_last(x):
    """[…, channels, height, width] from [rows, height, width, channels] in channels-last memory."""
    return x.permute(0, 3, 1, 2)


class Weight(nn.Module):
    """A parameter `weight`, and a `bias` if there is one, drawn as usual."""

    def __init__(self, shape, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape) * math.sqrt(1 / (math.prod(shape) / shape[0])))
        self.bias = nn.Parameter(torch.zeros(outputs)) if outputs else None


class Parents(nn.Module):
    """A first layer: `weight.PARENT` for each parent, and one bias."""

    def __init__(self, shapes, outputs):
        super().__init__()
        self.weight = nn.ParameterDict({name: Weight(shape, 0).weight for name, shape in shapes.items()})
        self.bias = nn.Parameter(torch.zeros(outputs))


class Norm(nn.Module):
    """Batch norm by the statistics of the batch; the running averages follow if `moves`."""

    def __init__(self, features):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x, moves):
        averages = (self.running_mean, self.running_var) if moves else (None, None)
        return F.batch_norm(x, *averages, self.weight, self.bias, training=True)


class Body(nn.Module):
    """2 * [conv(4, stride 2) > batchnorm > gelu] > dense > batchnorm > gelu, and heads. Vectors add one number to each channel."""

    def __init__(self, vectors, heads, channels=16, hidden=128):
        super().__init__()
        shapes = {"x": (channels, 1, 4, 4), **{name: (channels, size) for name, size in vectors.items()}}
        self.conv1, self.batchnorm1 = Parents(shapes, channels), Norm(channels)
        self.conv2, self.batchnorm2 = Weight((channels, channels, 4, 4), channels), Norm(channels)
        self.dense1, self.batchnorm3 = Weight((hidden, channels * (SIDE // 4) ** 2), hidden), Norm(hidden)
        for name, size in heads.items():
            setattr(self, name, Weight((size, hidden), size))
        self.heads = list(heads)

    def forward(self, moves, x, **vectors):
        """Heads of shape [classes, rows, features], where a vector has an axis of classes, else [rows, features]."""
        first = F.conv2d(x, self.conv1.weight["x"], self.conv1.bias, stride=2, padding=1).permute(0, 2, 3, 1)
        for name, vector in vectors.items():
            first = first + F.linear(vector, self.conv1.weight[name])[..., None, None, :]
        lead = first.shape[:-3]
        h = rows_last(first.reshape(-1, *first.shape[-3:]))
        h = F.gelu(self.batchnorm1(h, moves))
        h = F.gelu(self.batchnorm2(F.conv2d(h, self.conv2.weight, self.conv2.bias, stride=2, padding=1), moves))
        h = F.gelu(self.batchnorm3(F.linear(h.flatten(1), self.dense1.weight, self.dense1.bias), moves))
        heads = [F.linear(h, head.weight, head.bias).float().unflatten(0, lead) for head in map(self.get_submodule, self.heads)]
        return heads if len(heads) > 1 else heads[0]


class Draw(nn.Module):
    """dense(16, 7, 7) > batchnorm > gelu > 2 * [conv_transpose(4, stride 2) > batchnorm > gelu], and the logits of the pixels."""

    def __init__(self, vectors, channels=16):
        super().__init__()
        self.side, outputs = SIDE // 4, channels * (SIDE // 4) ** 2
        self.dense1, self.batchnorm1 = Parents({name: (outputs, size) for name, size in vectors.items()}, outputs), Norm(channels)
        self.conv_transpose1, self.batchnorm2 = Weight((channels, channels, 4, 4), channels), Norm(channels)
        self.conv_transpose2, self.batchnorm3 = Weight((channels, channels, 4, 4), channels), Norm(channels)
        self.logits = Weight((1, channels, 1, 1), 1)

    def forward(self, moves, **vectors):
        h = self.dense1.bias + sum(F.linear(vector, self.dense1.weight[name]) for name, vector in vectors.items())
        lead = h.shape[:-1]
        h = h.reshape(-1, 16, self.side, self.side).contiguous(memory_format=torch.channels_last)
        h = F.gelu(self.batchnorm1(h, moves))
        h = F.gelu(self.batchnorm2(F.conv_transpose2d(h, self.conv_transpose1.weight, self.conv_transpose1.bias, stride=2, padding=1), moves))
        h = F.gelu(self.batchnorm3(F.conv_transpose2d(h, self.conv_transpose2.weight, self.conv_transpose2.bias, stride=2, padding=1), moves))
        return F.conv2d(h, self.logits.weight, self.logits.bias).float().flatten(1).unflatten(0, lead)


def log_normal(x, mean, log_variance):
    return (-0.5 * math.log(2 * math.pi) - log_variance / 2 - (x - mean) ** 2 / (2 * log_variance.exp())).sum(-1)


def kl_to_standard(mean, log_variance):
    return 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(-1)


def draw(mean, log_variance, noise):
    return mean + noise * (log_variance / 2).exp()


class Adgm(nn.Module):
    """models/adgm_conv.dgm."""

    NAME, BINARY, ROWS, RATE, RADIUS, PRIOR, CLIP, AUX, LATENT = "adgm_conv", True, 50, 3e-3, 1, True, True, 32, 32

    def __init__(self):
        super().__init__()
        size = {"y": CLASSES, "a": self.AUX, "z": self.LATENT}
        of = lambda *names: {name: size[name] for name in names}
        normal = lambda features: {"mean": features, "log_variance": features}
        self.q = nn.ModuleDict({"a": Body({}, normal(self.AUX)), "y": Body(of("a"), {"logits": CLASSES}), "z": Body(of("a", "y"), normal(self.LATENT))})
        self.p = nn.ModuleDict({"x": Draw(of("y", "z")), "a": Body(of("y", "z"), normal(self.AUX))})

    def noise(self, rows):
        return {"a": torch.randn(rows, self.AUX), "z": torch.randn(rows, self.LATENT), "classes.z": torch.randn(CLASSES, rows, self.LATENT)}

    def log_q(self, x, noise):
        """log q(y | a, x) with a drawn by x."""
        return self.q["y"](False, x, a=draw(*self.q["a"](False, x), noise["a"])).log_softmax(-1)

    def terms(self, moves, x, a, heads, y, noise, weight):
        """The weighted terms of a case but those of y, with axes [classes,] rows."""
        mean, log_variance = self.q["z"](moves, x, a=a, y=y)
        z = draw(mean, log_variance, noise)
        logits = self.p["x"](moves, y=y, z=z)
        log_p_x = -F.binary_cross_entropy_with_logits(logits, x.flatten(1).expand_as(logits), reduction="none").sum(-1)
        terms_a = log_normal(a, *self.p["a"](moves, x, y=y, z=z)) - log_normal(a, *heads)
        return log_p_x + weight["a"] * terms_a - weight["z"] * kl_to_standard(mean, log_variance)

    def forward(self, xl, yl, xu, noise_l, noise_u, weight):
        """The loss without `smooth`, and log q(y) of both cases."""
        heads = self.q["a"](False, xl)
        a = draw(*heads, noise_l["a"])
        log_l = self.q["y"](False, xl, a=a).log_softmax(-1)
        labelled = self.terms(False, xl, a, heads, yl, noise_l["z"], weight).mean() - math.log(CLASSES)
        classified = -(log_l * yl).sum(-1).mean()
        heads = self.q["a"](True, xu)
        a = draw(*heads, noise_u["a"])
        log_u = self.q["y"](True, xu, a=a).log_softmax(-1)
        one_hot = torch.eye(CLASSES)[:, None]
        terms = self.terms(True, xu, a, heads, one_hot, noise_u["classes.z"], weight).T
        unlabelled = (log_u.exp() * (terms - weight["y"] * (log_u + math.log(CLASSES)))).sum(-1).mean()
        return -weight["labelled"] * labelled - unlabelled + weight["classify"] * classified, log_l, log_u


class Vat(nn.Module):
    """models/vat.dgm."""

    NAME, BINARY, ROWS, RATE, RADIUS, PRIOR, CLIP = "vat", False, 100, 1e-3, 2, False, False

    class Body(nn.Module):
        def __init__(self, channels=16, hidden=128):
            super().__init__()
            self.conv1, self.batchnorm1 = Parents({"x": (channels, 1, 5, 5)}, channels), Norm(channels)
            self.conv2, self.batchnorm2 = Weight((2 * channels, channels, 3, 3), 2 * channels), Norm(2 * channels)
            self.dense1, self.batchnorm3 = Weight((hidden, 2 * channels * (SIDE // 4) ** 2), hidden), Norm(hidden)
            self.logits = Weight((CLASSES, hidden), CLASSES)

        def forward(self, moves, x):
            h = F.conv2d(x, self.conv1.weight["x"], self.conv1.bias, padding=2)
            h = F.max_pool2d(F.relu(self.batchnorm1(h, moves)), 2)
            h = F.conv2d(h, self.conv2.weight, self.conv2.bias, padding=1)
            h = F.max_pool2d(F.relu(self.batchnorm2(h, moves)), 2)
            h = F.relu(self.batchnorm3(F.linear(h.flatten(1), self.dense1.weight, self.dense1.bias), moves))
            return F.linear(h, self.logits.weight, self.logits.bias).float()

    def __init__(self):
        super().__init__()
        self.q = nn.ModuleDict({"y": self.Body()})

    def noise(self, rows):
        return {}

    def log_q(self, x, noise):
        return self.q["y"](False, x).log_softmax(-1)

    def forward(self, xl, yl, xu, noise_l, noise_u, weight):
        log_l = self.q["y"](False, xl).log_softmax(-1)
        log_u = self.q["y"](True, xu).log_softmax(-1)
        q = log_u.exp()
        marginal = q.mean(0)
        information = (q * log_u).sum(-1).mean() - (marginal * (marginal + 1e-30).log()).sum()
        return weight["classify"] * -(log_l * yl).sum(-1).mean() - information, log_l, log_u


class Step:
    """A training step of a model, eager or compiled, in f32 or with autocast to bf16."""

    # The weights of the first steps, as in `dgc bench`.
    WEIGHTS = {"adgm_conv": {"a": 0.0, "y": 3.0, "z": 3.0, "labelled": 1.0, "classify": 0.2, "smooth": 10.0}, "vat": {"classify": 1.0, "smooth": 1.0}}

    def __init__(self, model, is_compiled, is_bf16):
        self.model, self.is_bf16 = model, is_bf16
        compiled = torch.compile if is_compiled else lambda function: function
        self.bound, self.divergence = compiled(model), compiled(self.plain_divergence)
        self.optimizer = torch.optim.Adam(model.parameters(), model.RATE, fused=True)
        self.weights = [p for p in model.parameters() if p.dim() > 1]
        # The prior counts once per run, so it is divided by the training rows.
        self.prior = 1 / 10_000
        # Tensors, as they change during training.
        self.weight = {name: torch.tensor(value) for name, value in self.WEIGHTS[model.NAME].items()}

    def plain_divergence(self, x, change, clean, noise):
        """KL(q(y) ‖ q(y) with the data moved), of each row."""
        return (clean.exp() * (clean - self.model.log_q(x + change, noise))).sum(-1)

    def with_length(self, direction, length):
        return length * direction / (direction.square().sum((1, 2, 3), keepdim=True) + 1e-30).sqrt()

    def smooth(self, x, clean, noise, direction):
        """The mean KL with the data moved in the worst direction."""
        clean = clean.detach()
        change = self.with_length(direction, 1.0).requires_grad_()
        (gradient,) = torch.autograd.grad(self.divergence(x, change, clean, noise).sum(), change)
        change = self.with_length(gradient, self.model.RADIUS)
        return self.divergence(x, change, clean, noise).mean()

    def loss(self, xl, yl, xu, noise_l, noise_u, direction_l, direction_u):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.is_bf16):
            loss, log_l, log_u = self.bound(xl, yl, xu, noise_l, noise_u, self.weight)
            smooth = self.smooth(xl, log_l, noise_l, direction_l) + self.smooth(xu, log_u, noise_u, direction_u)
            return loss + self.weight["smooth"] * smooth

    def __call__(self, xl, yl, xu):
        self.optimizer.zero_grad(set_to_none=True)
        if self.model.BINARY:
            # Training draws 0 or 1 anew in each batch.
            xl, xu = (torch.bernoulli(x) for x in (xl, xu))
        noise_l, noise_u = self.model.noise(len(xl)), self.model.noise(len(xu))
        loss = self.loss(xl, yl, xu, noise_l, noise_u, torch.randn_like(xl), torch.randn_like(xu))
        loss.backward()
        if self.model.PRIOR:
            torch._foreach_add_([p.grad for p in self.weights], self.weights, alpha=self.prior)
        if self.model.CLIP:
            nn.utils.clip_grad_norm_(self.model.parameters(), 5.0, foreach=True)
            nn.utils.clip_grad_value_(self.model.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        return loss


def batch(kind, rows):
    """Labelled images, their classes as one-hots, and unlabelled images, drawn as by `dgc bench`."""
    shape = rows, 1, SIDE, SIDE
    pixels = lambda: (torch.rand(shape) < 0.2).float() if kind.BINARY else torch.randn(shape)
    image = lambda: pixels().contiguous(memory_format=torch.channels_last)
    return image(), torch.eye(CLASSES)[torch.arange(rows) % CLASSES], image()


def timed(kind, mode, steps):
    torch.manual_seed(0)
    model = kind().to(memory_format=torch.channels_last)
    step = Step(model, "compiled" in mode, "bf16" in mode)
    data = batch(kind, kind.ROWS)
    begun = time.perf_counter()
    for _ in range(5):
        loss = step(*data)
    first = time.perf_counter() - begun
    times = []
    for _ in range(steps):
        begun = time.perf_counter()
        loss = step(*data)
        times.append(1e3 * (time.perf_counter() - begun))
    print(f"{kind.NAME} {mode:16} {statistics.median(times):9.2f} ms/step (min {min(times):.2f})  5 steps {first:.1f}s  loss {loss.item():.2f}", flush=True)


def check(kind, dgc):
    """Fails unless dgc has the same parameters, and the same loss for the same parameters, rows and noise."""
    import numpy

    torch.manual_seed(0)
    model, rows = kind().double(), 6
    torch.set_default_dtype(torch.float64)
    step = Step(model, False, False)
    xl, yl, xu = (part.double() for part in batch(kind, rows))
    noise = {case: model.noise(rows) for case in ("labelled", "unlabelled")}
    direction = {case: torch.randn(rows, 1, SIDE, SIDE) for case in noise}
    # `dgc bound` takes the weights of the end of training, and one batch as the training rows.
    step.weight.update(a=1.0, y=1.0, z=1.0, labelled=0.01, smooth=torch.tensor(10.0))
    step.weight["classify"] = 0.1 * 2 * rows / rows if kind.CLIP else 1.0
    loss = step.loss(xl, yl, xu, noise["labelled"], noise["unlabelled"], direction["labelled"], direction["unlabelled"])
    loss.backward()
    arrays = {}
    for case in noise:
        arrays[f"{case}.y.smooth.x"] = direction[case].flatten(1)[None]
        for name, value in noise[case].items():
            if name == "classes.z" and case == "unlabelled":
                arrays[f"{case}.z"] = value.transpose(0, 1)[None]
            elif name == "a" or case == "labelled" and name == "z":
                arrays[f"{case}.{name}"] = value[None]
    labels = torch.cat([yl.argmax(1), torch.full((rows,), -1)])
    with tempfile.TemporaryDirectory() as folder:
        path = lambda name: pathlib.Path(folder) / name
        save = lambda name, arrays: numpy.savez(path(name), **{key: value.detach().numpy() for key, value in arrays.items()})
        save("params.npz", model.state_dict())
        save("batch.npz", {"x": torch.cat([xl, xu]).squeeze(1), "y": labels})
        save("noise.npz", arrays)
        command = [dgc, "bound", MODELS / f"{kind.NAME}.dgm", "--params", path("params.npz"), "--batch", path("batch.npz"), "--noise", path("noise.npz")]
        command += ["--set", "smooth.weight=10", "--device", "cpu", "--grads", path("grads.safetensors")]
        # dgc refuses parameters that are missing, unknown or of another shape.
        found = json.loads(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE).stdout)
        gradients = read_safetensors(path("grads.safetensors"))
    count = sum(p.numel() for p in model.parameters())
    print(f"{kind.NAME}: {count} parameters, loss {loss.item():.6f}, dgc's {found['loss']:.6f}")
    assert count == sum(value.size for value in gradients.values()), "the parameters differ"
    assert abs(found["loss"] - loss.item()) < 1e-4 * abs(loss.item()), "the losses differ"
    scale = max(p.grad.abs().max().item() for p in model.parameters())
    worst = max(abs(p.grad.numpy() - gradients[name].reshape(p.shape)).max() for name, p in model.named_parameters())
    print(f"largest difference of a gradient: {worst / scale:.1e} of the largest gradient")
    assert worst < 1e-3 * scale, "the gradients differ"


def read_safetensors(path):
    import numpy

    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    kinds = {"F32": numpy.float32, "F64": numpy.float64}
    header.pop("__metadata__", None)
    of = lambda tensor: numpy.frombuffer(data[slice(*tensor["data_offsets"])], kinds[tensor["dtype"]]).reshape(tensor["shape"])
    return {name: of(tensor) for name, tensor in header.items()}


def main():
    kinds = {kind.NAME: kind for kind in (Adgm, Vat)}
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", choices=list(kinds))
    arguments.add_argument("--modes", default="eager,compiled,eager-bf16,compiled-bf16")
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--check", metavar="DGC")
    given = arguments.parse_args()
    torch.set_num_threads(int(os.environ.get("THREADS", os.cpu_count())))
    if given.check:
        check(kinds[given.model], given.check)
        return
    for mode in given.modes.split(","):
        timed(kinds[given.model], mode, given.steps)


if __name__ == "__main__":
    main()
