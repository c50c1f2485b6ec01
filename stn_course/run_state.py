"""What a run remembers, for its checkpoints and its patience, and what it tells a listener."""

from dataclasses import dataclass, field

from torch import Tensor, nn

OWN_CURVES = ("train_loss", "valid_accuracy", "valid_loss")


class Watch:
    """What a run tells; this one listens to nothing.  It must leave model and seeds alone.

    A ``loss`` is a tensor [] on the device, good until the next step: reading it waits.
    """

    def start(self, step: int) -> None: ...
    def step(self, step: int, loss: Tensor, rate: float) -> None: ...
    def epoch(self, step: int, model: nn.Module, curves: dict) -> None: ...


@dataclass
class RunState:
    """Where a run is: what a checkpoint keeps beside weights and optimiser."""

    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    first_batch: str = ""
    curves: dict = field(default_factory=lambda: {name: [] for name in OWN_CURVES})
    best: dict[str, Tensor] | None = None  # weights of the best epoch, where there is patience
    digits: str = ""  # the source of what it learns from; of an old checkpoint unknown

    def check(self, where, digits: str, total: int, measures: bool) -> None:
        """ValueError unless the run goes on as it began: with these digits, to step ``total``.

        ``measures``: whether something is measured after each epoch that makes curves.
        """
        wrong = ""
        if self.digits and ("full MNIST" in self.digits) != ("full MNIST" in digits):
            wrong = f"it learned from the {self.digits} and here is the {digits}"
        if self.step > total:
            wrong = f"it has made {self.step} steps and these epochs are {total}"
        made = [name for name, values in self.curves.items() if values]
        made = [name for name in made if name not in OWN_CURVES]
        if self.curves["train_loss"] and bool(made) != measures:
            wrong = f"after each epoch it measured {made or 'nothing'}; each_epoch must do the same"
        if wrong:
            raise ValueError(f"cannot resume from {where}: {wrong}")

    def waited(self, patience: int | None) -> bool:
        """Whether ``patience`` epochs have passed since the best validation accuracy."""
        values = self.curves["valid_accuracy"]
        return bool(patience and values) and len(values) > values.index(max(values)) + patience

    def keep_best(self, model: nn.Module) -> None:
        """Remember the weights if no epoch before this one was as good."""
        values = self.curves["valid_accuracy"]
        if values.index(max(values)) == len(values) - 1:
            self.best = {name: t.detach().clone() for name, t in model.state_dict().items()}
