"""Which signatures of a transaction count, and which served nothing."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from stellar_sdk import xdr

from devnet.account import MASTER_WEIGHT_INDEX, Account
from devnet.protocol import SIGNATURE_HINT_SIZE

WEIGHT_MAX: Final = 255
_ORDER: Final = (
    xdr.SignerKeyType.SIGNER_KEY_TYPE_HASH_X,
    xdr.SignerKeyType.SIGNER_KEY_TYPE_ED25519,
    xdr.SignerKeyType.SIGNER_KEY_TYPE_ED25519_SIGNED_PAYLOAD,
)


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that may sign for an account, and what its signature weighs."""

    key: xdr.SignerKey
    weight: int


@dataclass(slots=True)
class SignatureChecker:
    """Weighs the signatures of one transaction and remembers which of them were of use."""

    contents_hash: bytes
    """What was signed, 32 bytes."""
    signatures: Sequence[xdr.DecoratedSignature]
    _used: set[int] = field(default_factory=set)

    def check(self, signers: Sequence[Signer], needed_weight: int) -> bool:
        """Tell whether the signatures of these signers reach a weight.

        One good signature is needed even where `needed_weight` is 0.

        Source:
            stellar-core, SignatureChecker: pre-authorised hashes first, then hash preimages,
            Ed25519 keys and signed payloads; a signer counts once; it stops at enough, so that
            a further signature stays unused.
        """
        total = 0
        for signer in signers:
            if _is_preauthorised(signer.key, self.contents_hash):
                total += min(signer.weight, WEIGHT_MAX)
                if total >= needed_weight:
                    return True
        for kind in _ORDER:
            waiting = [signer for signer in signers if signer.key.type == kind]
            for index, signature in enumerate(self.signatures):
                found = next((s for s in waiting if self._signed_by(signature, s.key)), None)
                if found is None:
                    continue
                self._used.add(index)
                total += min(found.weight, WEIGHT_MAX)
                if total >= needed_weight:
                    return True
                waiting.remove(found)
        return False

    def all_used(self) -> bool:
        """Tell whether every signature helped some check to succeed."""
        return len(self._used) == len(self.signatures)

    def _signed_by(self, decorated: xdr.DecoratedSignature, key: xdr.SignerKey) -> bool:
        hint, signature = decorated.hint.signature_hint, decorated.signature.signature
        if key.hash_x is not None:
            named = key.hash_x.uint256
            return hint == _tail(named) and hashlib.sha256(signature).digest() == named
        if key.ed25519 is not None:
            named = key.ed25519.uint256
            return hint == _tail(named) and _verifies(named, self.contents_hash, signature)
        payload = key.ed25519_signed_payload
        if payload is None:
            return False
        named = payload.ed25519.uint256
        tail = _tail(payload.payload.ljust(SIGNATURE_HINT_SIZE, b"\0"))
        expected = bytes(a ^ b for a, b in zip(_tail(named), tail, strict=True))
        return hint == expected and _verifies(named, payload.payload, signature)


def ed25519_signer(key: bytes, weight: int) -> Signer:
    """Return the signer of a raw Ed25519 key (32 bytes)."""
    kind = xdr.SignerKeyType.SIGNER_KEY_TYPE_ED25519
    return Signer(xdr.SignerKey(kind, ed25519=xdr.Uint256(key)), weight)


def signers_of(account: Account) -> list[Signer]:
    """Return who may sign for an account: its master key, unless that weighs nothing."""
    weight = account.thresholds[MASTER_WEIGHT_INDEX]
    return [ed25519_signer(account.key, weight)] if weight else []


def _is_preauthorised(key: xdr.SignerKey, contents_hash: bytes) -> bool:
    return key.pre_auth_tx is not None and key.pre_auth_tx.uint256 == contents_hash


def _tail(data: bytes) -> bytes:
    return data[-SIGNATURE_HINT_SIZE:]


def _verifies(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(key).verify(message, signature)
    except (BadSignatureError, ValueError):  # ValueError: a signature that is not 64 bytes
        return False
    return True
