"""Builds the native scorer into a wheel, or beside the sources of an editable install. See deploy/kernel.py."""

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.builders.wheel import WheelBuilderConfig


class KernelBuildHook(BuildHookInterface[WheelBuilderConfig]):
    """Asks deploy/kernel.py; without the library the wheel is pure and clf scores with the reference scorer."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the build of a `version`, editable or standard: build the library and add it."""
        if version == "editable":
            self._kernel("install")
        elif library := self._kernel("library"):
            # Straight from cargo, so that building a wheel leaves the checkout and what runs from it alone.
            build_data["force_include"][library] = f"models/_kernel{sysconfig.get_config_var('EXT_SUFFIX')}"
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def _kernel(self, command: str) -> str:
        script = Path(self.root, "deploy", "kernel.py")
        done = subprocess.run([sys.executable, str(script), command], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            self.app.abort("The native scorer could not be built; the reason is above.")
        return done.stdout.strip()
