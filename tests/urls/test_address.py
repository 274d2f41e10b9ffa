"""Which addresses may be reached."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.urls.address import refusal

v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
near = st.sampled_from(["10.1.2.3", "127.0.0.1", "169.254.169.254", "100.64.0.1", "8.8.8.8", "1.1.1.1"]).map(
    IPv4Address
)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "shared by a carrier's customers"),
        ("100.127.255.255", "shared by a carrier's customers"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("168.63.129.16", "Azure's own service on its machines"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.192", "reserved"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "for benchmarks"),
        ("224.0.0.1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b:1::8.8.8.8", "reserved"),
        ("2002:7f00:1::", "loopback"),
        ("2001:0:4136:e378:8000:63bf:5601:5601", "link-local"),
        ("2001:db8::1", "for documentation"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "private"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("5f00::1", "reserved"),
    ],
)
def test_what_is_not_public_is_refused_with_its_reason(address: str, reason: str):
    assert refusal(ip_address(address)) == reason


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1"])
def test_the_public_internet_is_reached(address: str):
    assert refusal(ip_address(address)) is None


@pytest.mark.parametrize("zone", ["fe80::1%eth0", "fe80::1%2"])
def test_a_zone_changes_nothing(zone: str):
    assert refusal(ip_address(zone)) == "link-local"


@given(v4)
def test_whatever_python_takes_for_special_is_refused(address: IPv4Address):
    if refusal(address) is None:
        assert address.is_global
        assert not address.is_multicast


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_of_ipv6_nothing_outside_what_was_given_out_is_reached(address: IPv6Address):
    if (
        refusal(address) is None
        and address.ipv4_mapped is None
        and int(address) >> 96 != int(IPv6Address("64:ff9b::")) >> 96
    ):
        assert int(address) >> 125 == 1


@given(v4 | near)
def test_an_address_within_an_address_is_judged_like_itself(address: IPv4Address):
    bits = int(address)
    for around in (
        int(IPv6Address("::ffff:0:0")) | bits,
        int(IPv6Address("64:ff9b::")) | bits,
        int(IPv6Address("2002::")) | bits << 80,
        int(IPv6Address("2001:0:808:808::")) | (~bits & 0xFFFFFFFF),
        int(IPv6Address("2001::")) | bits << 64 | (~int(IPv4Address("8.8.8.8")) & 0xFFFFFFFF),
    ):
        assert refusal(IPv6Address(around)) == refusal(address)
