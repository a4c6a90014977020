// A program whose executed instructions are known: `make_known` says how many of each kind.
// DVFL_TIMES is how often the loop is gone through.
.arch armv8.6-a+sve+fp16
.globl _start
.macro read_clock
    mov x0, 1               // CLOCK_MONOTONIC
    add x1, sp, -64
    mov x8, 113             // clock_gettime
    svc 0
.endm

_start:
    mov x3, DVFL_TIMES & 0xffff
    movk x3, DVFL_TIMES >> 16, lsl 16
    read_clock
1:
    // 7 of the kind `dot`
    sdot v0.4s, v1.16b, v2.16b
    sdot v0.4s, v1.16b, v2.4b[1]
    udot v0.4s, v1.16b, v2.16b
    udot v0.2s, v1.8b, v2.4b[3]
    usdot v0.4s, v1.16b, v2.16b
    usdot v0.4s, v1.16b, v2.4b[1]
    sudot v0.4s, v1.16b, v2.4b[1]
    // 3 of the kind `matrix`
    smmla v0.4s, v1.16b, v2.16b
    ummla v0.4s, v1.16b, v2.16b
    usmmla v0.4s, v1.16b, v2.16b
    // 5 of the kind `float`
    fmla v0.4s, v1.4s, v2.4s
    fmls v0.4s, v1.4s, v2.4s
    fmla v0.2d, v1.2d, v2.2d
    fmla v0.4s, v1.4s, v2.s[3]
    fmls v0.4s, v1.4s, v2.s[1]
    // 4 of the kind `half`
    fmla v0.8h, v1.8h, v2.8h
    fmls v0.8h, v1.8h, v2.8h
    fmla v0.8h, v1.8h, v2.h[7]
    fmls v0.8h, v1.8h, v2.h[6]
    // 9 of no kind, whose encodings are near
    fmul v0.4s, v1.4s, v2.4s
    fadd v0.4s, v1.4s, v2.4s
    fmul v0.4s, v1.4s, v2.s[1]
    mla v0.4s, v1.4s, v2.4s
    mul v0.8h, v1.8h, v2.h[1]
    smlal v0.4s, v1.4h, v2.4h
    smlal v0.4s, v1.4h, v2.h[1]
    smull v0.8h, v1.8b, v2.8b
    fmaxnm v0.4s, v1.4s, v2.4s
    subs x3, x3, 1
    b.ne 1b
    read_clock
    mov x0, 0
    mov x8, 93              // exit
    svc 0
