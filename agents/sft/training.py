"""Supervised fine-tuning against the clock."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clock import Clock
from recipes import Example


@dataclass(frozen=True)
class Settings:
    """How to train. `end`: when the steps must be over, as time.monotonic() tells it; `steps`: no more than so many."""

    method: str
    end: float
    steps: int
    batch: int
    learning_rate: float
    max_length: int
    examples: int
    checkpoints: int
    seed: int


def choose(model: Any, method: str, seconds: float, steps: int | None, seed: int) -> Settings:
    """Settings by the model's size, the processor and the time."""
    import torch

    parameters, gpu = sum(item.numel() for item in model.parameters()), torch.cuda.is_available()
    if method == "auto":
        method = "full" if parameters < (2.5e9 if gpu else 3e8) else "lora"
    # The larger the model, the smaller the steps that it stands: 1e-4 at 135M, measured, and the root of the ratio.
    learning_rate = min(5e-3, 1e-4 * (1.35e8 / parameters) ** 0.5)
    return Settings(
        method=method,
        end=time.monotonic() + seconds,
        steps=steps or (4000 if gpu else 1000),
        # Where a step takes seconds, twice as many small ones learn more.
        batch=16 if parameters < 1e7 or gpu else 2,
        learning_rate=learning_rate * (10 if method == "lora" else 1),
        max_length=2048 if gpu else 512,
        # Each example costs time to prepare, so no more of them than the steps can use.
        examples=100_000 if gpu else max(64, int(seconds * (4 if parameters > 1e7 else 40))),
        checkpoints=1 if seconds < 240 else 3,
        seed=seed,
    )


def load(folder: Path) -> Any:
    """The model in float32: training rounds to bfloat16 where the processor is quick at it, and keeps this copy."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def train(model: Any, tokenizer: Any, pairs: list[Example], settings: Settings, work: Path, base: Path) -> list[Path]:
    """Train until time or steps are used up; the folders of the checkpoints, in order of time, each ready to submit."""
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    pace = Pace(settings)

    class Watch(TrainerCallback):
        """Tells the pace of each step, keeps a checkpoint now and then, and ends the training in time."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            pace.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            pace.step()
            if pace.takes_checkpoint() and not pace.is_over():
                saved.append(save(model_of(trainer), work / f"step-{pace.steps}", base))
            control.should_training_stop = pace.is_over()

    saved: list[Path] = []
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**_arguments(settings, work)),
        train_dataset=Dataset.from_list(pairs[: settings.examples]),
        processing_class=tokenizer,
        peft_config=_adapters() if settings.method == "lora" else None,
        callbacks=[Watch()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.create_optimizer()
    trainer.lr_scheduler = _schedule(trainer.optimizer, pace)
    trainer.train()
    pace.report(trainer.state.log_history)
    saved.append(save(model_of(trainer), work / f"step-{pace.steps}", base))
    return saved


class Pace:
    """Where the training stands between its beginning and its end, by the clock and by its steps."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.steps = self.taken = 0
        self.seconds_a_step = 0.0
        self.start()

    def start(self) -> None:
        """The first step begins now."""
        self.begin = self.last = time.monotonic()

    def step(self) -> None:
        """A step was made."""
        self.steps += 1
        now = time.monotonic()
        self.seconds_a_step, self.last = now - self.last, now
        if self.steps in (1, 2, 4) or self.steps % 10 == 0:
            print(f"step {self.steps}: {self.seconds_a_step:.1f} s, {self.progress():.0%} of the training", flush=True)

    def progress(self) -> float:
        """Between 0 and 1."""
        spent = (time.monotonic() - self.begin) / max(1.0, self.settings.end - self.begin)
        return min(1.0, max(spent, self.steps / self.settings.steps))

    def is_over(self) -> bool:
        """Whether another step as long as the last would not fit."""
        if self.steps >= self.settings.steps:
            return True
        return self.steps > 0 and time.monotonic() + self.seconds_a_step > self.settings.end

    def takes_checkpoint(self) -> bool:
        """Whether one of the checkpoints before the last is due."""
        wanted = self.settings.checkpoints
        due = self.taken < wanted - 1 and self.progress() * wanted >= self.taken + 1
        self.taken += due
        return due

    def report(self, history: list[dict[str, Any]]) -> None:
        """What the training did."""
        losses = [line["loss"] for line in history if "loss" in line]
        if losses:
            first, last = losses[0], sum(losses[-5:]) / len(losses[-5:])
            print(f"{self.steps} steps in {self.last - self.begin:.0f} s; loss {first:.3f} → {last:.3f}", flush=True)


def _schedule(optimizer: Any, pace: Pace) -> Any:
    """Warm up over a twentieth, then fall to nothing at the end, both by the clock: how many steps there will be is
    known only when they are made."""
    from torch.optim.lr_scheduler import LambdaLR

    def factor(_: int) -> float:
        progress = pace.progress()
        return min(1.0, 0.3 + progress / 0.05) * max(0.02, 1 - progress)

    return LambdaLR(optimizer, factor)


def _arguments(settings: Settings, work: Path) -> dict[str, Any]:
    import torch

    gpu = torch.cuda.is_available()
    return {
        "output_dir": str(work / "trainer"),
        "per_device_train_batch_size": settings.batch,
        "learning_rate": settings.learning_rate,
        "max_steps": settings.steps,
        "max_length": settings.max_length,
        "bf16": gpu or _is_quick_at_bfloat16(),
        "use_cpu": not gpu,
        "gradient_checkpointing": gpu,
        "logging_steps": 1,
        "logging_strategy": "steps",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": settings.seed,
        "dataloader_pin_memory": gpu,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
    }


def _is_quick_at_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _adapters() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def model_of(trainer: Any) -> Any:
    """The model that is trained, out of whatever the trainer wraps it in."""
    return trainer.accelerator.unwrap_model(trainer.model)


def save(model: Any, folder: Path, base: Path) -> Path:
    """The model as a folder like the base's: adapters merged into a copy, the base's own configs and tokenizer."""
    import copy

    import torch

    merged = copy.deepcopy(model).merge_and_unload() if hasattr(model, "merge_and_unload") else model
    kind = getattr(torch, str(_base_dtype(base)))
    state = {name: value.detach().to(kind) for name, value in merged.state_dict().items()}
    merged.save_pretrained(folder, state_dict=state, safe_serialization=True)
    for path in base.iterdir():
        if path.is_file() and ".safetensors" not in path.name:
            shutil.copyfile(path, folder / path.name)
    return folder


def _base_dtype(base: Path) -> str:
    import json

    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    return config.get("dtype") or config.get("torch_dtype") or "float32"


def submit(folder: Path, final: Path) -> None:
    """Make the folder's copy the submission; at no moment is there less than a whole model."""
    fresh, old = final.with_name(".fresh"), final.with_name(".old")
    for path in (fresh, old):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(folder, fresh, copy_function=shutil.copyfile)
    if final.exists():
        final.rename(old)
    fresh.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def seconds_to_save(clock: Clock, began: float) -> None:
    """Remember how long a save took."""
    clock.saving = max(clock.saving, 2 * (time.monotonic() - began))
