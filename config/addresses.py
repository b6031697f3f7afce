"""This file holds which addresses of a network are everybody's, and which a webhook must never reach."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_RELAY_ANYCAST = IPv4Network("192.88.99.0/24")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
_LOW_32 = 0xFFFF_FFFF


def is_allowed(address: IPAddress, allowed: Sequence[Network] = ()) -> bool:
    """
    Tell whether a webhook may connect to an address.

    An IPv6 address that leads to an IPv4 address may be used only when that one may, too.

    Args:
        allowed: networks of one's own that may be reached although they are private.
    """
    if _is_in(address, allowed):
        return True
    inner = tuple(embedded(address))
    if not all(_is_public_v4(one) or _is_in(one, allowed) for one in inner):
        return False
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)
    if address.ipv4_mapped is not None or address in _NAT64:
        return True  # Just another spelling of what was looked at.
    return address in _GLOBAL_UNICAST and address.is_global


def embedded(address: IPAddress) -> Iterator[IPv4Address]:
    """List the IPv4 addresses that an IPv6 address stands for, or leads to through a tunnel."""
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    number = int(address)
    if address in _NAT64 or address in _COMPATIBLE or (number >> 32) & _LOW_32 in _ISATAP:
        yield IPv4Address(number & _LOW_32)


def _is_public_v4(address: IPv4Address) -> bool:
    is_special = address.is_multicast or address.is_reserved or address in _RELAY_ANYCAST
    return address.is_global and not is_special


def _is_in(address: IPAddress, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
