"""Which IP addresses a sandbox may be connected to: public ones of other machines.

What it does not protect against: services on public addresses that trust this host's address.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

REFUSED = {
    ip_network(block): what
    for block, what in {
        "0.0.0.0/8": "this host",
        "10.0.0.0/8": "a private network",
        "100.64.0.0/10": "a carrier's network",
        "127.0.0.0/8": "this host",
        "168.63.129.16/32": "a cloud's metadata service",
        "169.254.0.0/16": "the local link, where clouds keep metadata",
        "172.16.0.0/12": "a private network",
        "192.0.0.0/24": "a protocol's own network",
        "192.0.2.0/24": "documentation",
        "192.88.99.0/24": "a relay to IPv6",
        "192.168.0.0/16": "a private network",
        "198.18.0.0/15": "measurements between networks",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "224.0.0.0/4": "many receivers",
        "240.0.0.0/4": "nobody",
        "::/96": "this host, or an IPv4 address in disguise",
        "64:ff9b::/96": "an IPv4 address behind a translator",
        "64:ff9b:1::/48": "an IPv4 address behind a translator",
        "100::/64": "nobody",
        "2001::/23": "a tunnel or a protocol's own network",
        "2001:db8::/32": "documentation",
        "2002::/16": "an IPv4 address in a tunnel",
        "3fff::/20": "documentation",
        "5f00::/16": "a network's own routing",
        "fc00::/7": "a private network",
        "fe80::/10": "the local link",
        "fec0::/10": "a private network",
        "ff00::/8": "many receivers",
    }.items()
}
"""Blocks that no public service lives in, and what they are for."""


def refused_address(text: str) -> str:
    """What is wrong with connecting to this address; empty if it is a public one."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return f"{text[:60]} is no IP address"
    plain: IPv4Address | IPv6Address = address
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        plain = address.ipv4_mapped
    for block, what in REFUSED.items():
        if plain.version == block.version and plain in block:
            return f"{text} belongs to {what}"
    if not plain.is_global:
        return f"{text} is no public address"
    return ""
