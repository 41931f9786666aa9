"""What the paper's tables report, cell by cell: GLACE, CVPR 2024, pages 21562-21571.

Nothing here was measured by this package. An empty cell is one that the paper leaves empty.
"""

from __future__ import annotations

from typing import NamedTuple


class System(NamedTuple):
    """A row.

    depth: maps with a mesh or depth maps, or None where the table does not say.
    """

    name: str
    map_size: str
    metrics: tuple[str, ...]
    depth: bool | None = False


class ReportedTable(NamedTuple):
    """A table of the paper, or a part of it.

    unit: of the metrics.
    columns: what each of a row's metrics is of.
    """

    source: str
    unit: str
    columns: tuple[str, ...]
    systems: tuple[System, ...]


RECALL = "% of images within 5 cm / 5 deg"
MEDIANS = "median error, cm / deg"

TABLE_1 = ReportedTable(
    "Table 1",
    RECALL,
    ("7-Scenes, SfM", "7-Scenes, D-SLAM", "12-Scenes, SfM", "12-Scenes, D-SLAM"),
    (
        System("AS (SIFT)", "~200 MB", ("98.5", "68.7", "99.8", "99.6")),
        System("D.VLAD+R2D2", "~1 GB", ("95.7", "77.6", "99.9", "99.7")),
        System("hLoc (SP+SG)", "~2 GB", ("95.7", "76.8", "100", "99.8")),
        System("pixLoc", "~1 GB", ("", "75.7", "", "")),
        System("DSAC* (Full), with depth", "28 MB", ("98.2", "84.0", "99.8", "99.2"), True),
        System("DSAC* (Tiny), with depth", "4 MB", ("85.6", "70.0", "84.4", "83.1"), True),
        System("SANet", "~550 MB", ("", "68.2", "", ""), True),
        System("SRC", "40 MB", ("81.1", "55.2", "", ""), True),
        System("DSAC* (Full)", "28 MB", ("96.0", "81.1", "99.6", "98.8")),
        System("DSAC* (Tiny)", "4 MB", ("84.3", "69.1", "81.9", "81.6")),
        System("ACE", "4 MB", ("97.1", "80.8", "99.9", "99.6")),
        System("GLACE", "9 MB", ("95.6", "81.4", "100", "99.6")),
    ),
)
TABLE_2 = ReportedTable(
    "Table 2",
    RECALL,
    ("i12", "i19"),
    (
        System("ESAC", "336 / 532 MB", ("97.1", "88.1"), True),
        System("ACE", "4 MB", ("10.3", "5.9")),
        System("ACE x4", "16 MB", ("77.4", "36.5")),
        System("ACE x19", "78 MB", ("99.3", "90.9")),
        System("GLACE", "9 MB", ("99.1", "87.0")),
    ),
)
TABLE_3 = ReportedTable(
    "Table 3",
    RECALL,
    ("i12", "i19"),
    (
        System("ACE", "4 MB", ("9.0", "17.0"), None),
        System("ACE x4", "16 MB", ("76.9", "42.0"), None),
        System("ACE x19", "78 MB", ("99.9", "97.8"), None),
        System("GLACE", "9 MB", ("99.5", "93.4"), None),
    ),
)
TABLE_4 = ReportedTable(
    "Table 4",
    MEDIANS,
    ("GreatCourt", "KingsCollege", "OldHospital", "ShopFacade", "StMarysChurch", "average"),
    (
        System("AS (SIFT)", "~200 MB", ("24/0.1", "13/0.2", "20/0.4", "4/0.2", "8/0.3", "14/0.2")),
        System(
            "hLoc (SP+SG)", "~800 MB", ("16/0.1", "12/0.2", "15/0.3", "4/0.2", "7/0.2", "11/0.2")
        ),
        System("pixLoc", "~600 MB", ("30/0.1", "14/0.2", "16/0.3", "5/0.2", "10/0.3", "15/0.2")),
        System("GoMatch", "~12 MB", ("", "25/0.6", "283/8.1", "48/4.8", "335/9.9", "")),
        System("HybridSC", "~1 MB", ("", "81/0.6", "75/1.0", "19/0.5", "50/0.5", "")),
        System(
            "PoseNet17", "50 MB", ("683/3.5", "88/1.0", "320/3.3", "88/3.8", "157/3.3", "267/3.0")
        ),
        System("MS-Transformer", "~18 MB", ("", "83/1.5", "181/2.4", "86/3.1", "162/4.0", "")),
        System(
            "DSAC* (Full), with depth",
            "28 MB",
            ("49/0.3", "15/0.3", "21/0.4", "5/0.3", "13/0.4", "21/0.3"),
            True,
        ),
        System(
            "SANet", "~260 MB", ("328/2.0", "32/0.5", "32/0.5", "10/0.5", "16/0.6", "84/0.8"), True
        ),
        System("SRC", "40 MB", ("81/0.5", "39/0.7", "38/0.5", "19/1.0", "31/1.0", "42/0.7"), True),
        System(
            "DSAC* (Full)", "28 MB", ("34/0.2", "18/0.3", "21/0.4", "5/0.3", "15/0.6", "19/0.4")
        ),
        System(
            "DSAC* (Tiny)", "4 MB", ("98/0.5", "27/0.4", "33/0.6", "11/0.5", "56/1.8", "45/0.8")
        ),
        System("ACE", "4 MB", ("43/0.2", "28/0.4", "31/0.6", "5/0.3", "18/0.6", "25/0.4")),
        System(
            "Poker (ACE x4)", "16 MB", ("28/0.1", "18/0.3", "25/0.5", "5/0.3", "9/0.3", "17/0.3")
        ),
        System("GLACE", "13 MB", ("19/0.1", "19/0.3", "17/0.4", "4/0.2", "9/0.3", "14/0.3")),
    ),
)
TABLE_5 = ReportedTable(
    "Table 5",
    "% of images",
    ("0.25 m, 2 deg", "0.5 m, 5 deg", "5 m, 10 deg"),
    (
        System("ESAC x50", "1400 MB", ("42.6", "59.6", "75.5"), True),
        System("ACE x4", "16 MB", ("0.0", "0.5", "3.8")),
        System("ACE x50", "205 MB", ("6.9", "17.2", "50.0")),
        System("GLACE", "27 MB", ("8.6", "20.8", "64.0")),
        System("GLACE (SuperPoint)", "23 MB", ("9.8", "23.9", "65.9")),
    ),
)
TABLE_6 = ReportedTable(
    "Table 6",
    MEDIANS,
    TABLE_4.columns,
    (
        System("ACE", "", ("43/0.2", "28/0.4", "31/0.6", "5/0.3", "18/0.6", "25/0.4"), None),
        System(
            "Poker (ACE x4)", "", ("28/0.1", "18/0.3", "25/0.5", "5/0.3", "9/0.3", "17/0.3"), None
        ),
        System("identity", "", ("32/0.2", "30/0.4", "34/0.6", "13/0.5", "103/2.1", "42/0.8"), None),
        System("K=4", "", ("27/0.1", "18/0.3", "21/0.4", "5/0.2", "9/0.3", "16/0.3"), None),
        System("K=32", "", ("23/0.1", "19/0.3", "20/0.4", "6/0.2", "10/0.3", "15/0.3"), None),
        System("K=128", "", ("23/0.2", "22/0.4", "21/0.4", "6/0.3", "10/0.4", "17/0.3"), None),
        System("diffusion", "", ("19/0.1", "19/0.3", "17/0.4", "4/0.2", "9/0.3", "14/0.3"), None),
    ),
)
FIGURE_6 = ReportedTable(
    "Figure 6",
    RECALL,
    ("i19",),
    (
        System("clusters=1", "", ("57.5",), None),
        System("clusters=4", "", ("82.6",), None),
        System("clusters=19", "", ("89.3",), None),
        System("clusters=50", "", ("93.4",), None),
    ),
)
