"""Names of classes, by class id: those of data sets that the field shares, and those of a file."""

import os

from cmpl_zoo.data.manifest import ManifestError, read_classes

# As the data set's own classInd.txt has them, in its order, which is not quite the alphabet's.
UCF101 = """
    ApplyEyeMakeup ApplyLipstick Archery BabyCrawling BalanceBeam BandMarching BaseballPitch Basketball BasketballDunk
    BenchPress Biking Billiards BlowDryHair BlowingCandles BodyWeightSquats Bowling BoxingPunchingBag BoxingSpeedBag
    BreastStroke BrushingTeeth CleanAndJerk CliffDiving CricketBowling CricketShot CuttingInKitchen Diving Drumming
    Fencing FieldHockeyPenalty FloorGymnastics FrisbeeCatch FrontCrawl GolfSwing Haircut Hammering HammerThrow
    HandstandPushups HandstandWalking HeadMassage HighJump HorseRace HorseRiding HulaHoop IceDancing JavelinThrow
    JugglingBalls JumpingJack JumpRope Kayaking Knitting LongJump Lunges MilitaryParade Mixing MoppingFloor Nunchucks
    ParallelBars PizzaTossing PlayingCello PlayingDaf PlayingDhol PlayingFlute PlayingGuitar PlayingPiano PlayingSitar
    PlayingTabla PlayingViolin PoleVault PommelHorse PullUps Punch PushUps Rafting RockClimbingIndoor RopeClimbing
    Rowing SalsaSpin ShavingBeard Shotput SkateBoarding Skiing Skijet SkyDiving SoccerJuggling SoccerPenalty StillRings
    SumoWrestling Surfing Swing TableTennisShot TaiChi TennisSwing ThrowDiscus TrampolineJumping Typing UnevenBars
    VolleyballSpiking WalkingWithDog WallPushups WritingOnBoard YoYo
""".split()  # noqa: SIM905 (as a list it would take a page)


def class_names(name_or_file: str | os.PathLike[str]) -> list[str]:
    """Class names by class id.

    Args:
        name_or_file: `kinetics400` (in the alphabet's order, as torchvision ships them), `ucf101` (in the order of
            classInd.txt), or a text file with one name a line. The name comes first, so that a command means the same
            in every folder; a file that is called so is given as `./ucf101`.

    Raises:
        ManifestError: it is neither, or the file cannot be used.
    """
    if name_or_file == "ucf101":
        return list(UCF101)
    if name_or_file == "kinetics400":
        from torchvision.models.video import R3D_18_Weights

        return list(R3D_18_Weights.KINETICS400_V1.meta["categories"])
    if not os.path.exists(name_or_file):
        raise ManifestError(
            f"{name_or_file}: no such file of class names; give one with a name a line, or kinetics400 or ucf101"
        )
    return read_classes(name_or_file)
