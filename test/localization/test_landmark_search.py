"""Where the head is lost, all landmarks are looked through; what they show twice stays in doubt."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.core_scenes import CAMERA, tiny_map, unit_rows

from glace_ros.features.local_features import LocalFeatures
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.geometry.pose import Pose
from glace_ros.localization.landmark_search import LandmarkTwins, elsewhere, matched_landmarks
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import (
    LandmarkRefinementConfig,
    LandmarkSearchConfig,
    LocalizerConfig,
)
from glace_ros.localization.pose_estimate import HeadPoints, PoseEstimate, Regression
from glace_ros.maps.landmarks import Landmarks
from glace_ros.maps.scene_map import SceneMap
from glace_ros.rejection import Rejection, RejectionCode

TRUTH = Pose.from_rotation_vector([3.0, -2.0, 1.0], [0.4, -1.1, 0.8])
WORKING = CAMERA.scaled_to(128, 96)
CORNERS = 150


class Scene:
    """Corners that an image shows, and whatever else a map knows."""

    def __init__(self, beside_deg: float = 0.0) -> None:
        """beside_deg: between where the mapping cameras stood and where this one does."""
        rng = np.random.default_rng(0)
        self.rng = rng
        pixels_n2 = rng.uniform([0, 0], [127, 95], (CORNERS, 2))
        depth_n1 = rng.uniform(2, 6, (CORNERS, 1))
        self.points_n3 = TRUTH.transform(WORKING.bearings(pixels_n2) * depth_n1)
        self.descriptors_nC = unit_rows(rng, CORNERS, 64)
        toward_n3 = TRUTH.translation_3 - self.points_n3
        turned = Pose.from_rotation_vector([0, 0, 0], np.radians([0, 0, beside_deg]))
        self.directions_n3 = toward_n3 @ turned.rotation_33
        self.features = LocalFeatures(
            torch.from_numpy(self.descriptors_nC).float(),
            torch.from_numpy(pixels_n2 + rng.normal(scale=0.2, size=pixels_n2.shape)).float(),
            torch.ones(CORNERS),
        )

    def landmarks(self, *moved_m: tuple[float, float, float], count: int = CORNERS) -> Landmarks:
        """Of the scene, and of others that look alike, as far away as that; and 2000 others."""
        copies = [(0.0, 0.0, 0.0), *moved_m]
        points = [self.points_n3[:count] + offset for offset in copies]
        rng = self.rng
        return Landmarks(
            torch.from_numpy(np.concatenate([*points, rng.uniform(-9, 9, (2000, 3))])),
            torch.from_numpy(
                np.concatenate(
                    [self.descriptors_nC[:count]] * len(copies) + [unit_rows(rng, 2000, 64)]
                )
            ),
            torch.from_numpy(
                np.concatenate(
                    [self.directions_n3[:count]] * len(copies) + [unit_rows(rng, 2000, 3)]
                )
            ),
        )


def localizer_of(landmarks: Landmarks, config: LocalizerConfig | None = None) -> Localizer:
    """With an untrained head, which the scene's regressions do not ask."""
    plain = tiny_map(
        local_encoder_hash=XFeatEncoder(torch.device("cpu")).weights_hash, max_rival=0.8
    )
    scene_map = SceneMap(plain.metadata, plain.heads, None, landmarks)
    return Localizer(scene_map, config or LocalizerConfig(), "cpu")


def localized(
    scene: Scene, landmarks: Landmarks, config=None, points_n3=None
) -> PoseEstimate | Rejection:
    """By a map whose head predicts these points, or nothing but noise."""
    if points_n3 is None:
        points_n3 = scene.rng.uniform(-9, 9, (CORNERS, 3))
    regression = Regression(scene.features, [points_n3], WORKING)
    return localizer_of(landmarks, config).solve(regression, CAMERA, 0.0)


class AskedHead(Exception):
    """A head was asked."""


def without_head(scene: Scene) -> Regression:
    """Of an image whose heads, and whose global descriptor, nobody may ask for."""

    def asked(*_):
        raise AskedHead

    return Regression(scene.features, HeadPoints(asked, [0]), WORKING, asked)


def test_what_looks_like_nothing_else_is_found_before_any_head_is_asked():
    scene = Scene()
    localizer = localizer_of(scene.landmarks())
    found = localizer.solve(without_head(scene), CAMERA, 0.0)
    assert found.map_from_camera.distance_m(TRUTH) < 0.02
    assert found.landmarks > 120
    assert found.landmark_verified
    assert not found.ambiguous
    assert localizer.found_without_head(without_head(scene), CAMERA, 0.0) is not None


@pytest.mark.parametrize(
    ("moved_m", "count", "config"),
    [
        ([(30.0, 0.0, 0.0)], CORNERS, LandmarkSearchConfig()),  # may be of two places
        ([], 50, LandmarkSearchConfig()),  # too few to verify a pose
        ([], 20, LandmarkSearchConfig()),  # too few to begin with
        ([], CORNERS, LandmarkSearchConfig(most_searched_first=CORNERS + 1999)),
        ([], CORNERS, None),
    ],
    ids=["twins", "few landmarks", "fewer", "more than are searched", "no search"],
)
def test_a_head_is_asked_where_landmarks_alone_do_not_tell(moved_m, count, config):
    scene = Scene()
    localizer = localizer_of(scene.landmarks(*moved_m, count=count), LocalizerConfig(search=config))
    assert localizer.found_without_head(without_head(scene), CAMERA, 0.0) is None
    with pytest.raises(AskedHead):
        localizer.solve(without_head(scene), CAMERA, 0.0)


@pytest.mark.parametrize(
    ("moved_m", "count", "most_searched", "by_landmarks", "searches"),
    [
        ([(30.0, 0.0, 0.0)], CORNERS, 40_000, True, 2),  # in two places
        ([], 50, 40_000, False, 1),  # by all features already, before a head was asked
        ([], 20, 40_000, True, 1),  # afterwards
        ([], CORNERS, CORNERS + 1999, True, 2),  # afterwards, and then elsewhere
    ],
    ids=["twins", "few landmarks", "fewer", "more than are searched"],
)
def test_nothing_is_looked_for_twice(
    monkeypatch, moved_m, count, most_searched, by_landmarks, searches
):
    scene = Scene()
    config = LocalizerConfig(search=LandmarkSearchConfig(most_searched_first=most_searched))
    localizer = localizer_of(scene.landmarks(*moved_m, count=count), config)
    finder, search = localizer._finder, localizer._finder.search
    asked, searched = [], []

    def find(*_, by_landmarks: bool) -> Rejection:
        asked.append(by_landmarks)
        return Rejection(RejectionCode.NO_POSE)

    def counted(*arguments) -> PoseEstimate | None:
        searched.append(arguments)
        return search(*arguments)

    monkeypatch.setattr(finder, "find", find)
    monkeypatch.setattr(finder, "search", counted)
    regression = Regression(scene.features, [np.zeros((CORNERS, 3))], WORKING)
    localizer.solve(regression, CAMERA, 0.0)
    assert asked == [by_landmarks]
    assert len(searched) == searches


@pytest.mark.parametrize(
    ("right", "by_landmarks", "is_found"),
    [(30, True, True), (30, False, False), (60, False, True)],
)
def test_where_landmarks_were_of_no_use_the_head_s_points_have_to_do(right, by_landmarks, is_found):
    """Of 150 points 50 have to agree by themselves."""
    scene = Scene()
    points_n3 = scene.rng.uniform(-9, 9, (CORNERS, 3))
    points_n3[:right] = scene.points_n3[:right]
    regression = Regression(scene.features, [points_n3], WORKING)
    finder = localizer_of(scene.landmarks())._finder
    found = finder.find(regression, CAMERA, time.perf_counter(), by_landmarks=by_landmarks)
    if is_found:
        assert found.map_from_camera.distance_m(TRUTH) < 0.02
    else:
        assert found.code == RejectionCode.FEW_INLIERS
        assert found.inliers >= right
        assert found.seconds > 0.0


@pytest.mark.parametrize(
    ("landmarks_and_sigmas", "expected", "refined"),
    [
        ([(80, 0.03), (150, 0.01)], 0.03, 1),  # many: that is enough
        ([(79, 0.03), (65, 0.01)], 0.01, 2),  # few: the surest of both
        ([(79, 0.01), (65, 0.03)], 0.01, 2),
        ([(79, 0.01), (59, 0.001)], 0.01, 2),  # which nothing verifies
        ([(59, 0.001), (65, 0.03)], 0.03, 2),
    ],
)
def test_few_landmarks_are_looked_for_farther_off_too(
    monkeypatch, landmarks_and_sigmas, expected, refined
):
    """As of a view from beside the mapped way, where the first pose is off at the image's edge."""
    scene = Scene()
    localizer = localizer_of(scene.landmarks())
    whole = localizer.solve(without_head(scene), CAMERA, 0.0)
    radii = []

    def judged(*arguments) -> PoseEstimate:
        landmarks, sigma_m = landmarks_and_sigmas[len(radii)]
        radii.append(arguments[-1].refinement.radii_px)
        return replace(
            whole, landmarks=landmarks, landmark_verified=landmarks >= 60,
            covariance_66=sigma_m**2 * np.eye(6),
        )  # fmt: skip

    monkeypatch.setattr(localizer._finder, "_judged", judged)
    found = localizer.solve(without_head(scene), CAMERA, 0.0)
    assert found.covariance_66[0, 0] == pytest.approx(expected**2)
    assert radii == [(12.0,), (48.0, 12.0)][:refined]


@pytest.mark.parametrize(("twins", "is_found"), [(6, True), (24, False)])
def test_few_landmarks_that_look_like_others_elsewhere_do_not_matter(twins, is_found):
    """Of 150: up to a tenth."""
    scene = Scene()
    own = scene.landmarks()
    every = CORNERS // twins
    landmarks = Landmarks(
        torch.cat([own.points_l3, own.points_l3[:CORNERS:every] + torch.tensor([30.0, 0.0, 0.0])]),
        torch.cat([own.descriptors_lC, own.descriptors_lC[:CORNERS:every]]),
        torch.cat([own.directions_l3, own.directions_l3[:CORNERS:every]]),
    )
    found = localizer_of(landmarks).found_without_head(without_head(scene), CAMERA, 0.0)
    assert (found is not None) == is_found


def test_a_blurred_image_is_found_by_all_of_its_features():
    """Of the best few match, but not so many that they verify a pose."""
    scene = Scene()
    few = LandmarkSearchConfig(first_features=50)
    nearest = LandmarkRefinementConfig(patches=(50, 50))
    config = LocalizerConfig(search=few, refinement=nearest)
    found = localizer_of(scene.landmarks(), config).solve(without_head(scene), CAMERA, 0.0)
    assert found.map_from_camera.distance_m(TRUTH) < 0.02
    assert found.landmarks > 120


@pytest.mark.parametrize("beside_deg", [0.0, 70.0])
def test_an_image_that_the_head_does_not_know_is_found_by_its_landmarks(beside_deg):
    scene = Scene(beside_deg)
    found = localized(scene, scene.landmarks())
    assert found.map_from_camera.distance_m(TRUTH) < 0.02
    assert found.landmark_verified
    assert not found.ambiguous
    assert found.landmarks > (120 if beside_deg == 0.0 else 60)
    # the same without the search: it is what finds the pose
    scene = Scene(beside_deg)
    assert isinstance(localized(scene, scene.landmarks(), LocalizerConfig(search=None)), Rejection)


def test_where_the_best_features_are_too_few_all_of_the_image_count():
    scene = Scene()
    few_first = LocalizerConfig(refinement=LandmarkRefinementConfig(patches=(20, 1000)))
    found = localized(scene, scene.landmarks(), few_first)
    assert found.map_from_camera.distance_m(TRUTH) < 0.02
    assert found.landmark_verified


def test_what_two_places_show_alike_is_ambiguous():
    scene = Scene()
    found = localized(scene, scene.landmarks((30.0, 0.0, 0.0)))
    assert found.ambiguous
    assert found.second_best_ratio > 0.9


def test_a_pose_of_the_head_is_ambiguous_where_its_landmarks_have_twins():
    scene = Scene()
    landmarks = scene.landmarks((30.0, 0.0, 0.0))
    found = localized(scene, landmarks, points_n3=scene.points_n3)
    assert found.ambiguous
    near = localized(scene, scene.landmarks((2.0, 0.0, 0.0)), points_n3=scene.points_n3)
    assert not near.ambiguous  # a wall of the same tiles is one place
    assert near.second_best_ratio == 0.0


def test_of_two_places_the_one_that_more_landmarks_agree_with_is_it():
    """The head is wrong: it puts the image where 100 of the 150 corners look the same."""
    scene = Scene()
    landmarks, away_3 = scene.landmarks(), np.array([30.0, 0.0, 0.0])
    tensors = landmarks.tensors()
    copied = Landmarks(**{name: tensor[:100].clone() for name, tensor in tensors.items()})
    both = Landmarks(
        torch.cat([landmarks.points_l3, copied.points_l3 + torch.from_numpy(away_3).float()]),
        torch.cat([tensors["descriptors_lC"], copied.tensors()["descriptors_lC"]]),
        torch.cat([tensors["directions_l3"], copied.tensors()["directions_l3"]]),
    )
    found = localized(scene, both, points_n3=scene.points_n3 + away_3)
    assert found.map_from_camera.distance_m(TRUTH) < 0.02
    assert 0.5 < found.second_best_ratio < 0.8


def test_twins_look_alike_and_are_elsewhere():
    scene = Scene()
    all_150, config = torch.arange(CORNERS), LandmarkSearchConfig()
    for offset_m, ratio in (((30.0, 0.0, 0.0), 1.0), ((2.0, 0.0, 0.0), 0.0)):
        twins = LandmarkTwins(scene.landmarks(offset_m), config)
        assert twins.ratio(all_150) == ratio
        assert twins.ratio(all_150) == ratio  # remembered
    assert LandmarkTwins(scene.landmarks(), config).ratio(all_150) == 0.0
    assert LandmarkTwins(scene.landmarks(), config).ratio(all_150[:0]) == 0.0


def test_few_landmarks_that_agree_verify_nothing():
    scene = Scene()
    assert isinstance(localized(scene, scene.landmarks(count=50)), Rejection)


def test_an_image_of_elsewhere_is_refused():
    scene = Scene()
    landmarks = scene.landmarks()
    scene.features = scene.features._replace(
        descriptors_nC=torch.from_numpy(unit_rows(scene.rng, CORNERS, 64)).float()
    )
    assert isinstance(localized(scene, landmarks), Rejection)


def test_each_feature_is_matched_to_the_landmark_that_looks_most_like_it():
    scene = Scene()
    landmarks, config = scene.landmarks(), LandmarkSearchConfig()
    pixels_m2, points_m3 = matched_landmarks(scene.features, landmarks, config)
    assert np.array_equal(pixels_m2, scene.features.pixels_n2.double().numpy())
    assert points_m3 == pytest.approx(scene.points_n3, abs=1e-5)
    scene.features.descriptors_nC[7] = 0.0  # like none
    assert len(matched_landmarks(scene.features, landmarks, config)[0]) == CORNERS - 1
    none_l = torch.zeros(len(landmarks), dtype=torch.bool)
    assert len(matched_landmarks(scene.features, landmarks, config, none_l)[0]) == 0


def test_elsewhere_is_far_from_all_points():
    scene = Scene()
    landmarks = scene.landmarks()
    points_l3, few_m = landmarks.points_l3.double().numpy(), torch.arange(3)
    few_m3 = points_l3[:3]
    distance_lm = np.linalg.norm(points_l3[:, None] - few_m3, axis=2)
    expected_l = (distance_lm > 2.5).all(axis=1)
    assert 100 < expected_l.sum() < len(landmarks) - 3
    assert np.array_equal(elsewhere(landmarks, few_m, 2.5).numpy(), expected_l)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_of_very_many_landmarks_each_features_best_is_found(bfloat16, monkeypatch):
    """In blocks, and coarsely first: as one exact product of all with all."""
    monkeypatch.setattr("glace_ros.maps.landmarks.has_bfloat16", lambda _: bfloat16)
    rng = np.random.default_rng(1)
    known_lC, points_l3 = unit_rows(rng, 5000, 64), rng.uniform(-9, 9, (5000, 3))
    index_n = rng.permutation(5000)[:400]
    seen_nC = known_lC[index_n] + rng.normal(scale=0.05, size=(400, 64))
    seen_nC /= np.linalg.norm(seen_nC, axis=1, keepdims=True)
    pixels_n2 = rng.uniform(0, 96, (400, 2)).astype(np.float32)
    landmarks = Landmarks(*map(torch.from_numpy, (points_l3, known_lC, unit_rows(rng, 5000, 3))))
    assert landmarks.coarse_lC.dtype == (torch.bfloat16 if bfloat16 else torch.float32)
    features = LocalFeatures(
        torch.from_numpy(seen_nC).float(), torch.from_numpy(pixels_n2), torch.ones(400)
    )
    found_n2, points_n3 = matched_landmarks(features, landmarks, LandmarkSearchConfig())
    assert found_n2 == pytest.approx(pixels_n2)
    assert points_n3 == pytest.approx(points_l3[index_n].astype(np.float32))
    # without the blocks that hold the first half of them, those are another one's or nobody's
    half_l = torch.arange(5000) >= 2500
    found_n2, points_n3 = matched_landmarks(features, landmarks, LandmarkSearchConfig(), half_l)
    there_n = index_n >= 2500
    assert found_n2 == pytest.approx(pixels_n2[there_n])
    assert points_n3 == pytest.approx(points_l3[index_n[there_n]].astype(np.float32))
