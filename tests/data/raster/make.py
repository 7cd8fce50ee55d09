"""Writes the images of this folder with GDAL, by rasterio: `python make.py`, run in this folder.

Every value follows from its band, row and column, so that a reader is held to values and not to another reader.
"""

import numpy
import rasterio
from rasterio.transform import Affine

HEIGHT, WIDTH = 70, 90
TRANSFORM = Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 7800000.0)


def values(bands, dtype):
    band, row, column = numpy.ogrid[:bands, :HEIGHT, :WIDTH]
    base = (band * 7919 + row * 131 + column * 17) % 251
    if dtype == "int16":
        return (base * 100 - 12000).astype(dtype)
    if dtype == "uint16":
        return (base * 257).astype(dtype)
    if dtype.startswith("float"):
        return (base / 8 - 3).astype(dtype)
    return base.astype(dtype)


def write(name, bands, dtype, names=None, sparse=False, colormap=None, **options):
    profile = dict(driver="GTiff", height=HEIGHT, width=WIDTH, count=bands, dtype=dtype, crs="EPSG:32608")
    with rasterio.open(name, "w", transform=TRANSFORM, **profile, **options) as image:
        data = values(bands, dtype)
        if sparse:
            image.write(data[:, :32, :32], window=((0, 32), (0, 32)))
        else:
            image.write(data)
        if colormap:
            image.write_colormap(1, colormap)
        for number, band in enumerate(names or [], 1):
            image.set_band_description(number, band)


TILES = dict(tiled=True, blockxsize=32, blockysize=32)
write("u8_strips_plain.tif", 1, "uint8")
write("u8_rgb_and_nir_deflate.tif", 4, "uint8", photometric="RGB", compress="deflate", predictor=2,
      names=["red", "green", "blue", "nir"])
write("u16_planes_tiles_lzw_big.tif", 3, "uint16", interleave="band", compress="lzw", predictor=2, BIGTIFF="YES",
      **TILES)
write("i16_big_endian_lzw.tif", 2, "int16", interleave="pixel", compress="lzw", predictor=2, ENDIANNESS="BIG",
      nodata=-12000)
write("f32_tiles_deflate_3.tif", 2, "float32", interleave="pixel", compress="deflate", predictor=3, nodata=float("nan"),
      **TILES)
write("f32_strips_deflate_3_big_endian.tif", 3, "float32", interleave="pixel", compress="deflate", predictor=3,
      ENDIANNESS="BIG", blockysize=9)
write("i16_planes_packbits.tif", 2, "int16", interleave="band", compress="packbits", blockysize=16)
write("f64_tiles_deflate_3.tif", 1, "float64", compress="deflate", predictor=3, **TILES)
write("i32_tiles_deflate.tif", 1, "int32", compress="deflate", predictor=2, **TILES)
write("u8_sparse.tif", 1, "uint8", SPARSE_OK="TRUE", nodata=250, compress="deflate", sparse=True, **TILES)
write("u8_palette.tif", 1, "uint8", photometric="PALETTE", colormap={0: (0, 0, 0), 1: (255, 0, 0)})
write("u8_zstd.tif", 1, "uint8", compress="zstd")
