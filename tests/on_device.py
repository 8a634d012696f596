"""What scripts have in common that compare ways of doing the same on a device."""

from __future__ import annotations

import argparse

import torch


def options(description: str | None) -> argparse.ArgumentParser:
    """With --device, and the script's own words."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    return parser


def wait_for(device: torch.device) -> None:
    """Until what it was given is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
