"""timm's default_cfg, which its registry and data loaders read."""


def default_cfg(size: int, pool: int | None = None, **kwargs) -> dict:
    """Combine the entries that all backbones share with `kwargs`.

    Args:
        size: image size in pixels per side.
        pool: side of the last feature map; None: there is none.
    """
    return dict(
        url="",
        num_classes=1000,
        input_size=(3, size, size),
        pool_size=pool and (pool, pool),
        interpolation="bicubic",
        fixed_input_size=True,
        license="mit",
        **kwargs,
    )
