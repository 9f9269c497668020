"""Call libnftables in this process. libnftables(3), libnftables-json(5).

This is a binding of our own, although otherwise only ``runtime/linux.py`` uses ctypes:
libnftables's Python module is not on PyPI (only stale copies of it are), Debian's package belongs
to the distribution's interpreter, and starting ``nft`` takes 15 to 28 ms where a call takes 0.2. It
is not in ``runtime`` because the forked processes never need it.
"""

import ctypes
import json
from types import TracebackType
from typing import Any, Final, Self

LIBRARY: Final = "libnftables.so.1"

# nftables/libnftables.h
NFT_CTX_DEFAULT: Final = 0
NFT_CTX_OUTPUT_JSON: Final = 1 << 4
NFT_CTX_OUTPUT_NUMERIC_PROTO: Final = 1 << 7


class NftError(Exception):
    """nft refused; the message is nft's, with the place in the input."""


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(LIBRARY)
    context, text, flags = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint
    for name, result, *arguments in (
        ("nft_ctx_new", context, ctypes.c_uint32),
        ("nft_ctx_free", None, context),
        ("nft_ctx_output_set_flags", None, context, flags),
        ("nft_ctx_buffer_output", ctypes.c_int, context),
        ("nft_ctx_buffer_error", ctypes.c_int, context),
        ("nft_ctx_get_output_buffer", text, context),
        ("nft_ctx_get_error_buffer", text, context),
        ("nft_run_cmd_from_buffer", ctypes.c_int, context, text),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Nftables:
    """A context of the library. Belongs to the thread that made it, and acts on that thread's
    network namespace.

    Raises:
        OSError: libnftables is not installed.
    """

    def __init__(self) -> None:
        self._library = _load()
        self._context = self._library.nft_ctx_new(NFT_CTX_DEFAULT)
        if not self._context:
            raise MemoryError("nft_ctx_new")
        self._library.nft_ctx_output_set_flags(
            self._context, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_PROTO
        )
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the context and its sockets."""
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None

    def run(self, commands: str) -> str:
        """Run commands in nft(8)'s language as one transaction; return their output.

        Raises:
            NftError: none of them was carried out.
        """
        failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        printed: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
        if failed:
            refusal: bytes = self._library.nft_ctx_get_error_buffer(self._context) or b""
            raise NftError(
                refusal.decode(errors="replace").strip() or "nft failed and said nothing"
            )
        return printed.decode(errors="replace")

    def objects(self, commands: str) -> list[dict[str, Any]]:
        """Return what a ``list`` or ``get`` command finds, one dictionary for each object, without
        nft's preamble.

        Raises:
            NftError: as :meth:`run`; also if the object does not exist.
        """
        printed = self.run(commands)
        found: list[dict[str, Any]] = json.loads(printed)["nftables"] if printed else []
        return [each for each in found if "metainfo" not in each]
