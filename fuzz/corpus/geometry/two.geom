; a detector of two modules
photon_energy = 9000 eV
adu_per_photon = 2.5
clen = 0.1 m
res = 10000   ; pixels a metre
max_adu = 30000
coffset = 0.002
rigid_group_q0 = m0,m1
mask_bad = 0xf0

m0/min_fs = 0
m0/max_fs = 7
m0/min_ss = 0
m0/max_ss = 5
m0/corner_x = -4.5
m0/corner_y = -1.25
m0/fs = +1.0x
m0/ss = y

m1/min_fs = 0
m1/max_fs = 7
m1/min_ss = 6
m1/max_ss = 11
m1/corner_x = 15.5
m1/corner_y = 1.75
m1/fs = -0.9999x +0.01y
m1/ss = -0.01x -0.9999y

badpixel/panel = m1
badpixel/min_fs = 1
badpixel/max_fs = 2
badpixel/min_ss = 6
badpixel/max_ss = 6
badstop/min_x = -1.5
badstop/max_x = 0
badstop/min_y = -2
badstop/max_y = -1
