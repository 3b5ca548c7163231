"""What the paper reports: Hui et al., Nuclear Techniques 46, 030101 (2023), 10.11889/j.0253-3219.2023.hjs.46.030101."""

# Table 1: set, protein, energy in keV, instrument, detector; 2,000 frames each.
SETS = (
    ("LN83", "hydrogenase", 9.498, "MFX", "Rayonix"),
    ("LN84", "photosystem II", 9.516, "MFX", "Rayonix"),
    ("LO19", "cyclophilin A", 9.442, "MFX", "Rayonix"),
    ("L498", "thermolysin", 9.773, "CXI", "CSPAD"),
)
# Table 2: Bragg spots X at resolutions lower than the water ring.
RULE = (("hit", "X >= 10"), ("maybe", "4 <= X < 10"), ("miss", "X <= 3"))
# Table 4: validation accuracy of MobileNet-V1, and right of ten test frames.
ACCURACY = {"LN83": (0.818, 8), "LN84": (0.823, 8), "LO19": (0.780, 9), "L498": (0.622, 7)}
# Table 5, set LN83: rows are labels hit, maybe, miss; columns what was predicted, in the same order.
CONFUSION = {
    "mobilenet-v1": ((0.919, 0.070, 0.011), (0.168, 0.701, 0.131), (0.014, 0.043, 0.943)),
    "inception-v1": ((0.935, 0.043, 0.022), (0.350, 0.416, 0.234), (0.008, 0.028, 0.964)),
    "inception-v3": ((0.958, 0.029, 0.013), (0.547, 0.343, 0.109), (0.058, 0.202, 0.740)),
    "vgg16": ((0.893, 0.086, 0.021), (0.073, 0.876, 0.051), (0.020, 0.141, 0.840)),
    "resnet101": ((0.854, 0.084, 0.063), (0.015, 0.518, 0.467), (0.001, 0.004, 0.995)),
    "alexnet": ((0.907, 0.014, 0.079), (0.927, 0.022, 0.051), (0.509, 0.016, 0.475)),
}
# Table 6: hit or maybe kept, miss dropped, where P(hit) + P(maybe) >= 0.5 keeps.
FILTER = {
    "mobilenet-v1": (0.970, 0.943),
    "inception-v1": (0.944, 0.964),
    "inception-v3": (0.972, 0.740),
    "vgg16": (0.974, 0.840),
    "resnet101": (0.873, 0.955),
    "alexnet": (0.925, 0.475),
}
# Seconds a frame of MobileNet-V1.
SECONDS = {"CPU": 1e-2, "GPU": 1e-3}
