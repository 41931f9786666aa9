"""The page of a map's report, section by section."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glace_ros.evaluation.metrics import rejection_counts
from glace_ros.localization.pose_estimate import PoseEstimate, errors_px
from glace_ros.recording.recording_time import clock
from glace_ros.report.charts import (
    Run,
    error_over_time,
    recall_curve,
    training_curve,
    turnable_points,
)
from glace_ros.report.map_verdict import verdict
from glace_ros.report.page import (
    Metric,
    Page,
    chart,
    listed,
    metric_table,
    paragraph,
    picture_grid,
    section,
    side_by_side,
    table,
    tiles,
)
from glace_ros.report.pictures import BAD_PX, GOOD_PX, Picture
from glace_ros.report.plan import plan_of_map
from glace_ros.report.words import duration, times, why_weak

if TYPE_CHECKING:
    from markupsafe import Markup

    from glace_ros.report.build_record import ShownImage
    from glace_ros.report.map_report import MapReport


def map_page(name: str, report: MapReport) -> Page:
    """The page of a report on the map file `name`."""
    metrics = report.metrics
    counts = f"{metrics['mapping_frames']} images mapped, {metrics['frames']} held out"
    return Page(f"Map {name}", verdict(report), _sections(report), f"{counts}. {_source(report)}")


def _sections(report: MapReport) -> list[Markup]:
    run = _run(report)
    sections = [section("Figures", tiles(_tiles(report)))]
    if report.regions:
        sections.append(_record_more(report))
    if len(report.mapping) or len(run.time_s_f):
        sections.append(_plan(report, run))
    if said := report.metrics["pose_refinement"].get("sentences"):
        sections.append(section("What the images say of the poses", listed(said)))
    if len(run.time_s_f):
        sections += _errors(report, run)
    if len(report.record.training) > 1:
        sections.append(_training(report))
    if report.record.worst:
        sections.append(_worst(report))
    if len(report.cloud):
        caption = (
            f"{len(report.cloud)} points that the map sees in held-out and some mapping images, "
            "where the recorded pose agrees, in the images' colours; all are in the PLY file. "
            "Drag to turn it, scroll or pinch to come nearer."
        )
        points = chart(
            turnable_points(report.cloud, report.trajectory.positions_n3, "camera's way"),
            640,
            most_slender=1.0,
        )
        sections.append(section("The map's points", points, caption))
    details = side_by_side(_left_out(report), _timings(report))
    return [*sections, details, _made_from(report)]


def _run(report: MapReport) -> Run:
    views, found_f = report.held_out_views, np.isfinite(report.errors_f2[:, 0])
    nothing_3 = np.full(3, np.nan)
    estimates = [
        view.estimate.translation_3 if view.estimate and found else nothing_3
        for view, found in zip(report.record.held_out, found_f, strict=True)
    ]
    return Run(
        views.time_s_n,
        views.positions_n3,
        np.array(estimates).reshape(-1, 3),
        report.errors_f2[:, 0],
        report.errors_f2[:, 1],
    )


def _tiles(report: MapReport) -> list[Metric]:
    metrics = report.metrics
    shown = []
    if metrics["frames"]:
        median_m, median_deg = metrics["median_translation_m"], metrics["median_rotation_deg"]
        shown = [
            Metric("median error", "none" if median_m is None else f"{100 * median_m:.1f} cm"),
            Metric("median angle", "none" if median_deg is None else f"{median_deg:.2f}°"),
            Metric("within 5 cm / 5°", f"{metrics['recall']['5cm_5deg']:.0%}"),
            Metric("within 25 cm / 2°", f"{metrics['recall']['25cm_2deg']:.0%}"),
            Metric("got a pose", f"{metrics['localized']} of {metrics['frames']}"),
            Metric("for an image (median)", f"{metrics['latency_ms']['p50']:.0f} ms"),
        ]
    size = Metric("map file", f"{metrics['map_bytes'] / 1e6:.2f} MB")
    return [*shown, size, Metric("to build it", duration(metrics["seconds"]["total"]))]


def _record_more(report: MapReport) -> Markup:
    rows = []
    for region in report.regions:
        x, y, _ = region.centre_3
        looking = "all around" if region.heading_deg is None else f"{region.heading_deg:.0f}°"
        where = f"x {x:.1f}, y {y:.1f}, within {region.radius_m:.1f} m"
        rows.append((region.name, where, times(region.spans_s, 3), looking, why_weak(region)))
    config = report.config
    caption = (
        "Places on the recorded way, the weakest first; the letters are in the plan below. "
        f"Missed: no pose, or off by over {100 * config.far_off_m:.0f} cm / "
        f"{config.far_off_deg:g}°. Few: under {config.least_views} mapping views within "
        f"{config.near_m:.1f} m that look alike (within {config.near_deg:g}°). Looking: 0° is "
        "along x, 90° along y."
    )
    head = ("", "where [m]", "when", "looking", "why")
    return section("Record more here", table(head, rows), caption)


def _plan(report: MapReport, run: Run) -> Markup:
    near_m = report.config.near_m
    caption = (
        f"Grey: how many mapping cameras were within {near_m:.1f} m, and, at a click, from how "
        "many of 8 directions they looked. Short lines: which way. Dots: held-out images where "
        "they were taken, in the colour of their error; a line leads to where the map puts them. "
        "Purple rings: record more here."
    )
    if report.way:
        caption += (
            " Dashed: the way as odometry recorded it, each drive, or what of it lies between two "
            "jumps, from where it begins in the map. Dark line: the same as refined. Light blue: "
            "loops, from a view to one that sees the same (some of them, where there are many)."
        )
    views = report.mapping_views
    shown = views, near_m, report.regions, report.mapping_of_drives, report.way
    figure = plan_of_map(run, *shown)
    return section("Seen from above", chart(figure, 760, top_px=72, bottom_px=92), caption)


def _errors(report: MapReport, run: Run) -> list[Markup]:
    curves = side_by_side(
        chart(recall_curve(run.error_cm_f, "cm"), 320, top_px=14),
        chart(recall_curve(run.error_deg_f, "deg"), 320, top_px=14),
    )
    along = chart(error_over_time(run, regions=report.regions), 380)
    return [
        section("How many held-out images are how exact", curves),
        section("Error along the way", along, "Purple: the places where to record more."),
    ]


def _training(report: MapReport) -> Markup:
    values_n3 = np.array([(p.step, p.loss, p.inlier_ratio) for p in report.record.training])
    caption = (
        "Faint: as it was told; bold: running median. The loss is clamped ever lower while "
        "training goes on, and falls for that reason too."
    )
    return section("Training", chart(training_curve(*values_n3.T), 400, top_px=14), caption)


def _worst(report: MapReport) -> Markup:
    caption = (
        "Rings: patches that agreed with the estimated pose, coloured by how far their points are "
        f"off when seen from the recorded pose (blue: {GOOD_PX:g} px, brown: {BAD_PX:g} px or "
        "more of the image)."
    )
    pictures = [_picture(report, shown) for shown in report.record.worst]
    return section("The worst held-out images", picture_grid(pictures), caption)


def _picture(report: MapReport, shown: ShownImage) -> Picture:
    image, truth, result = shown.image, shown.map_from_camera, shown.result
    x, y, _ = truth.translation_3
    at = f"{clock(report.time_s(image.drive, image.stamp_ns))}, x {x:.1f}, y {y:.1f}"
    rejected = report.reasons.get((image.drive, image.stamp_ns), "")
    if not isinstance(result, PoseEstimate):
        return Picture(image.image_rgb_hwc, f"{at}: no pose, {rejected or result.reason}")
    degrees = np.degrees(result.map_from_camera.angle_rad(truth))
    caption = (
        f"{at}: off by {100 * shown.error_m:.1f} cm, {degrees:.2f}°; {result.inliers} of "
        f"{result.points} points agree" + (f"; refused: {rejected}" if rejected else "")
    )
    errors_m = errors_px(result, truth)
    return Picture(image.image_rgb_hwc, caption, result.pixels_m2, errors_m)


def _left_out(report: MapReport) -> Markup:
    left_out = report.metrics["left_out"]
    rows = [Metric(f"image: {why}", str(count)) for why, count in left_out.items()]
    rejections = rejection_counts(report.validation.frames).most_common()
    rows += [Metric(f"held-out, no pose: {code.words}", str(n)) for code, n in rejections]
    body = metric_table(rows) if rows else paragraph("Nothing was left out.")
    return section("Left out, and why", body + (listed(report.notes) if report.notes else ""))


def _timings(report: MapReport) -> Markup:
    rows = [Metric(what, duration(spent)) for what, spent in report.metrics["seconds"].items()]
    return section("Time it took", metric_table(rows))


def _made_from(report: MapReport) -> Markup:
    rows = [Metric(what, words) for what, words in report.description]
    return section("What it is made from", metric_table(rows))


def _source(report: MapReport) -> str:
    (kind, path), words = report.description[0], dict(report.description)
    begins = f" Times: {words['times']}." if report.drives else ""
    return f"From the {kind} {path}, in the frame {words['map frame']}.{begins}"
