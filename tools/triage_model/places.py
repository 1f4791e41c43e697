"""Where the recipe reads from and writes to."""

from pathlib import Path

HERE = Path(__file__).resolve().parent
GRAMMAR = HERE / "grammar"
DATA = HERE / "data"
WORK = HERE / "work"
SHIPPED = HERE.parents[1] / "src" / "inferkit" / "local" / "models" / "triage-q8_0.gguf"

VOCABULARY = WORK / "vocabulary.json"
CHECKPOINT = WORK / "model.npz"
F32 = WORK / "triage-f32.gguf"
TEACHER = WORK / "teacher.safetensors"
LESSONS = WORK / "lessons.npz"
