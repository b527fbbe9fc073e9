"""Which emoji are in both styles, and how bright each is: what `emoji` checks its images against."""

import base64

import numpy as np

# Ranges of code points in hexadecimal, in the order of the file names: 1f004 comes before 203c.
_RANGES = (
    "1f004 1f0cf 1f170-1f171 1f17e-1f17f 1f18e 1f191-1f19a 1f201-1f202 1f21a 1f22f 1f232-1f23a 1f250-1f251 "
    "1f300-1f321 1f324-1f393 1f396-1f397 1f399-1f39b 1f39e-1f3f0 1f3f3-1f3f5 1f3f7-1f3fa 1f400-1f48e 1f490 "
    "1f492-1f4fd 1f4ff-1f53d 1f549-1f54e 1f550-1f567 1f56f-1f570 1f573-1f57a 1f587 1f58a-1f58d 1f590 1f595-1f596 "
    "1f5a4-1f5a5 1f5a8 1f5b1-1f5b2 1f5bc 1f5c2-1f5c4 1f5d1-1f5d3 1f5dc-1f5de 1f5e1 1f5e3 1f5e8 1f5ef 1f5f3 "
    "1f5fa-1f64f 1f680-1f6c5 1f6cb-1f6d2 1f6e0-1f6e5 1f6e9 1f6eb-1f6ec 1f6f0 1f6f3-1f6f6 1f910-1f91e 1f920-1f927 "
    "1f930 1f933-1f93a 1f93c-1f93e 1f940-1f945 1f947-1f94b 1f950-1f95e 1f980-1f991 1f9c0 203c 2049 20e3 2122 2139 "
    "2194-2199 21a9-21aa 231a-231b 2328 23cf 23e9-23f3 23f8-23fa 24c2 25aa 25b6 25c0 25fb-25fe 2600-2604 260e 2611 "
    "2614-2615 2618 261d 2620 2622-2623 2626 262a 262e-262f 2638-263a 2640 2642 2648-2653 2660 2663 2665-2666 2668 "
    "267b 267f 2692-2697 2699 269b-269c 26a0-26a1 26aa-26ab 26b0-26b1 26bd-26be 26c4-26c5 26c8 26ce-26cf 26d1 "
    "26d3-26d4 26e9-26ea 26f0-26f5 26f7-26fa 26fd 2702 2705 2708-270d 270f 2712 2714 2716 271d 2721 2728 2733-2734 "
    "2744 2747 274c 274e 2753-2755 2757 2763-2764 2795-2797 27a1 27b0 27bf 2934-2935 2b05-2b07 2b1b 2b50 2b55 3030 "
    "303d 3297 3299"
)

# Mean of each image over its pixels and channels, rounded: one byte each, in base 85.
_MEANS = {
    "blob": (
        "+{BxosEDVWzr?o3#l)k*sehoUxTw9OsJwl&sI$Dsw9mh_rO<G5*oolAVV01Tv}bXLo3fjRapYyy)vn0a=k4b1?e6UD@ATQv#o?{eyradu*U!"
        "S5yUoS7;;^&6%hJK1$gkMCx4z}eu)xW;)1jZ&vDu5q>)FV|(6q$Tz`Nbr@7U_1rm)f0$C}Nj$<yG?=-lwm;N<4k+2_Z;)Va&Z;@!pE*3jk1z"
        "RKvns;b=P-Qbm-x6-<@)!cfMtHzAT*So{8wAE_JsG-Z}-qo++#>>au;?lj#<;~Q>#+|mt-{Z>W=-%$|&9Sh<-=CAO%f+w4w7}4#wx_M9jkvn"
        "QrLoJmy4mWguG8k-!OiQn&d$ch?99c>v6R!d(df>w;p@8PzM!zi(#q1Z*wEFz$j;5z(zn6Z(Yw;ggXz4j%eJ<t)2^q#i@C_=x#qal+^xss<K"
        "yGo%-Ye>$>Gz~+27T%%cSAOz{113)6&VX!=$6ApRbyjzPi1&!MDt~)yUGq!Jd7?;J2v2p3kSI(dFN+qUGbf%H{9a(a6%!(ay}s#=*w9!PU&d"
        "+vBO|!r|iSyTk6*+Umu_+q28m)YH`4(#5-)!@$?c#J||uxwyOH+QiY>;nLvRv#PYdwYb~O*1EXW)8e+Ay{yf^!mHEM&&<WT#;WJi(8kWGzP6"
        "B_kHyHNv*POO>Fep~;-A{r(bv}I=E2n1-rTpK-p9w`<k;Tpp0TsGudCG6*4^E_-q_m2&(^utk(86C!^HCQ!^80K<Li6e#>U>=-QC^Y-QC^Y-"
        "rwEb-QC^Y-QC^Y-Q4%fnBt_wwZ_5M-tO$?)YRhAozIfV)4tN7#>Lgy+}z>lk>b;|n9}Uu<b$)cxV5&qwXB}DwY9vssJ6AZx4E{owYIjmwzaj"
        "jwzagcx3$E$x4OT!ytlBqwzt5#v%j^mxX`}AyuQD`yTHA+wzj{jowd2S!Kc};t<v7zug2uwy^_w)zrd=!yzR~0vcs#)%)Ga_y2-E3kJ#Sc!M"
        "ott)~3<gug}N6x|n~I)|b$(>5{;AoV}&;lIrg4fq}uw(buiZ+?SNx+sehRspRP2-`~;W*444Fv#q(nx31XP)z{b9+pxi)x45;gz|Y{av(LNd"
        "$M4+9=G4dV*5ujF*UG-x+`q`(#L&dTxXI@B&#lSIuEDF=wA;?%%gW2njKaU)+}7jWoZ;r_>GARL@#W>q(BJ3g=H}+$;N!*A!qM^L>Du(?=kl"
        "Zb;N0@Z=kbxj%ipo%%ZQ!m+SHiLw6)~m-{0HQ+|$_I<lp1oi;BI(*}r+u;MMBY+Qin?yXN(~yt$&@=<M#=<+jnW#@npQ<I%#{$k5}(s^a<3;"
        "nmgL%FDv-%Iw<U*yYyP+@<aL`|{n?)a}#n>*4V5^78T~)5r4W#=8"
    ),
    "noto": (
        "<lvp6p{SaZo}ROxrlp#ur?R!JsGPN%o~^5{oUFFJ!{FkEpvG>RvvbeLZ>p=StCOFqtH!aXnC6}3<=4g8g6-Vq<>~9~?c43q%hjjQ#lgzT+1T"
        "X8%*y7{*~q`!+1Jyh!n4x5ywT&&uEf>JzO|;-$H%46=-bT7%C*Ji)X2`|=-Aexzr)wx$Gps*z{B>>?&$RC-r?!-=iH~X)~CGLj*!vM&(ZDIw"
        "bkyKsMFl#*VeU#xZcsT-r<eD&Bd9w$&|{gx5JFwzN*^f+|-%n%FxKz;HBBr<-OL<%cHT%+~U{l;o#)u!_uk6!=I;^skN(^va_wspN!7EtgpY"
        "yww}GBwz~Acy4&yNyXWw}*xJz4@6)`y+{4+{)z9h4$KloGv)s_>)yc=W*ty-o*U!z`(9P!4%GTQ2s^!GJ+|13>+O*QomcrTI%jMA1+0Vh$*4"
        "Ea@&DF`t$Jf->>Eg25!KdTb!Kv8R<Iv*0(7d{)n6j6Vz{0+-#kk41)XK}n#Ji53-L<^Cwc)9s%+$oOs^RO$u-@g*!P?5X%gD&kzqQW5$<oi+"
        "=h&&}(AnJRvC84__3_Ty<>JoKxW&HJpTxwT#Hj7az{ug@zP!WH(96ot<lyPy-?6x|t;?07qL;S3+RmMp*x1O_)XT}`!OF(IytLcWxv{LJk*b"
        "`Q*1D>=x6rb-wY$6M-;?Cs&f3x7;KjAr$IZ-?+2_Nuv9q$Sn8Tl+ot~f3+v4EY@6^@e$-ckcvZ<D=$Hn*f?e3?iyy<V+%D>*--QM2b-re2Z-"
        "rwHd-rnBe-rnBc-rn)9!s4#X&C<*3<LBJv(9YY=n8L-^vbM{lv((qa$l==Sw#xRuy`b*l<j=asxVgHyxVp8wy}Z7*q`khsy}!P{y1%-=y|=r"
        "yz`eb(yt~D`ySllyy|l%)y1ci+yvMw^!qUXS!^6bJ!o<J7zrV+<qOioq%BR$_u+!k$xUIj*&#KA4&A`{y&EwkDx7E4c!{pe_x4N{+tGm$0y}"
        "-xE$HcJMs>|?>xs<t=>6Fr}>5{{>x5K>av*GOWzP`r6-P+I8=)I20%+sE*#>?8**VMu4*4VnQy{o*-!?@Vg&dbTs)S=6}x4gcv!qnNqtJ10I"
        "#OvC{;o7<H$N0+C-pjt+%C^nbyx`))l(*US(Vfc2vfZ)Z#LLLw$Hv0ruhPoa;K|g_ztEqtv8}DHuC%n-+vTgPtE{WAu&vF>%h#o@s>$=Dr1q"
        "uz+~Muo)AOpd+T+64=c%*3zQV@7y}jMisIs@l&$+9mps}^DpP91I%elP5=+(sF=)b_%%JA}hxzfnp)Z^!~-n-(Z#LcAB#?Zmk-`wH3y5yth&"
        "AQLh&fwF`y1BjU+SlvXzOv=^`0C2E$l=SZ%Ez&>tgNkG-n!-Gw6p"
    ),
}


def codepoints():
    """The 1,078 code points in hexadecimal, as the file names have them, in the order of the images."""
    names = []
    for part in _RANGES.split():
        first, _, last = part.partition("-")
        names += [f"{point:x}" for point in range(int(first, 16), int(last or first, 16) + 1)]
    return names


def mean_brightness(style):
    """Mean of each image of `style`, "blob" or "noto", over pixels and channels: uint8, (1078,)."""
    return np.frombuffer(base64.b85decode(_MEANS[style]), dtype=np.uint8)
