"""
Fine-tuning the text tower as a bi-encoder: LoRA on the backbone, a Matryoshka head behind it.

    from star_features.text.training.pairs import Pairs
    from star_features.text.training.save import save
    from star_features.text.training.train import train_text

    trained = train_text(Pairs.of(table), EncoderSettings(), TrainSettings(), checkpoint=folder)
    save(model_folder, trained)
    TextEncoder.load(EncoderSettings(model=str(model_folder)))

Importing this package is cheap; torch comes with `train` and `save`.
"""

from star_features.text.training.settings import TrainSettings

__all__ = ["TrainSettings"]
