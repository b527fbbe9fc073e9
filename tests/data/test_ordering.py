from coursekit.data.ordering import shuffled


def test_order_is_that_of_the_checksums_of_seed_and_key():
    """`printf 0:a | sha256sum` begins with 9df3, b e021, c be08, d 7d98, e e078; with 1: 4162, 6f05, b8a9, 244b, 69a1."""
    assert "".join("abcde"[i] for i in shuffled("abcde", 0)) == "dacbe"
    assert "".join("abcde"[i] for i in shuffled("abcde", 1)) == "daebc"


def test_order_depends_on_the_keys_and_not_on_where_they_stand():
    assert ["edcba"[i] for i in shuffled("edcba", 0)] == ["abcde"[i] for i in shuffled("abcde", 0)]
