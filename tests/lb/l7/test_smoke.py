from tests.lb.l7.rig import answering, ok, rig


async def test_smoke() -> None:
    """One request passes."""
    async with rig(answering(ok())) as lab:
        a = await lab.ask()
        print(a, lab.backends[0].received, lab.summaries)
        assert a.body == b"hello"
