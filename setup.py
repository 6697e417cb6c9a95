"""Build the Cython modules; without a C compiler the pure twins serve, unless FASTCHAT_REQUIRE_EXT=1."""

import os

from setuptools import Extension, setup

MODULES = {
    "fastchat._broadcast": "fastchat/_broadcast.pyx",
    "fastchat.protocol._framing": "fastchat/protocol/_framing.pyx",
    "fastchat.protocol._codec": "fastchat/protocol/_codec.pyx",
}


def extensions() -> list[Extension]:
    required = os.environ.get("FASTCHAT_REQUIRE_EXT") == "1"
    if os.environ.get("FASTCHAT_PURE") == "1" and not required:
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if required:
            raise
        return []
    flags = os.environ.get("FASTCHAT_CFLAGS", "-O3").split()
    sources = [
        Extension(name, [path], extra_compile_args=flags, extra_link_args=[f for f in flags if "sanitize" in f])
        for name, path in MODULES.items()
        if os.path.exists(path)
    ]
    built = cythonize(sources, language_level=3, build_dir="build/cython")
    for extension in built:
        extension.optional = not required  # cythonize() drops the flag, so it is set afterwards
    return built


setup(ext_modules=extensions())
