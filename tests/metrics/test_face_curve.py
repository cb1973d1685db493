"""Scores of the weights that a face run kept."""

import json
import shutil

from metrics.face_curve import Config, main


def test_every_kept_weights_file_is_scored_once(train, faces, tmp_path, capsys, error_of):
    run = train(tmp_path / "runs", "dcgan", "--max-steps", 2, "--keep-every", 1)
    main(Config(run, faces, count=4, dims=64, device="cpu"))
    curve = json.loads((run / "curve.json").read_text())
    assert [point["step"] for point in curve] == [1, 2]
    assert all(point["fid"] is None and 0 <= point["hog_face_rate"] <= 1 for point in curve)  # no Inception weights
    assert "FID-64" in capsys.readouterr().out
    # A point that is there is not made again.
    curve[0]["hog_face_rate"] = 0.5
    (run / "curve.json").write_text(json.dumps(curve))
    main(Config(run, faces, count=4, dims=64, device="cpu"))
    assert json.loads((run / "curve.json").read_text()) == curve
    curve[0]["passport"]["count"] = 5
    (run / "curve.json").write_text(json.dumps(curve))
    assert "do not compare, their settings differ" in error_of(lambda: main(Config(run, faces, dims=64, device="cpu")))
    shutil.rmtree(run / "kept")
    line = error_of(lambda: main(Config(run, faces, device="cpu")))
    assert "kept no weights to compare: train with --keep-every STEPS" in line
