"""What is known of a network beside its tensors: a plain module's attributes may be called alike and mean anything."""

from typing import Any

from torch import nn

TOLD = "_told_by_toolkit"  # the one attribute that a plain module is given


def is_plain(network: nn.Module) -> bool:
    """Is it a module of a competition's own, and no `Network`?"""
    from toolkit.networks.network import Network  # which imports this

    return not isinstance(network, Network)


def tell(network: Any, **known: Any) -> None:
    """Have a network know `outputs`, `mask_size` and the like; see `trait`."""
    if is_plain(network):
        setattr(network, TOLD, known)
    else:
        for name, value in known.items():
            setattr(network, name, value)


def trait(network: nn.Module, name: str, otherwise: Any = None) -> Any:
    """What a network, or what is called as one, has under this name; of a plain module only what it was told."""
    told = network.__dict__.get(TOLD)
    return getattr(network, name, otherwise) if told is None else told.get(name, otherwise)
