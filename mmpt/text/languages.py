"""Codes of languages, as the names of subtitle files hold them: `en`, `eng`, `pt-BR`, `zh_Hans`, `en-orig`."""

import re

# ISO 639-1, the codes of three letters that ISO 639-2 has for the same language, and codes of countries in their place
_SAME = """
aa aar,ab abk,ae ave,af afr,ak aka,am amh,an arg,ar ara,as asm,av ava,ay aym,az aze,ba bak,be bel,bg bul,bh bih,bi bis,
bm bam,bn ben,bo bod tib,br bre,bs bos,ca cat,ce che,ch cha,co cos,cr cre,cs ces cze cz,cu chu,cv chv,cy cym wel,
da dan dk,de deu ger,dv div,dz dzo,ee ewe,el ell gre gr,en eng,eo epo,es spa,et est,eu eus baq,fa fas per,ff ful,
fi fin,fj fij,fo fao,fr fra fre,fy fry,ga gle,gd gla,gl glg,gn grn,gu guj,gv glv,ha hau,
he heb iw,hi hin,ho hmo,hr hrv scr,ht hat,
hu hun,hy hye arm,hz her,ia ina,id ind,ie ile,ig ibo,ii iii,ik ipk,io ido,is isl ice,it ita,iu iku,ja jpn jp,jv jav jw,
ka kat geo,kg kon,ki kik,kj kua,kk kaz,kl kal,km khm,kn kan,ko kor,kr kau,ks kas,ku kur,kv kom,kw cor,ky kir,la lat,
lb ltz,lg lug,li lim,ln lin,lo lao,lt lit,lu lub,lv lav,mg mlg,mh mah,mi mri mao,mk mkd mac,ml mal,mn mon,mr mar,
ms msa may,mt mlt,my mya bur,na nau,nb nob,nd nde,ne nep,ng ndo,nl nld dut,nn nno,no nor,nr nbl,nv nav,ny nya,oc oci,
oj oji,om orm,or ori,os oss,pa pan,pi pli,pl pol,ps pus,pt por pob,qu que,rm roh,rn run,ro ron rum mo,ru rus,rw kin,
sa san,sc srd,sd snd,se sme,sg sag,si sin,sk slk slo,sl slv,sm smo,sn sna,so som,sq sqi alb,sr srp scc sh,ss ssw,
st sot,su sun,sv swe,sw swa,ta tam,te tel,tg tgk,th tha,ti tir,tk tuk,tl tgl,tn tsn,to ton,tr tur,ts tso,tt tat,tw twi,
ty tah,ug uig,uk ukr ua,ur urd,uz uzb,ve ven,vi vie vn,vo vol,wa wln,wo wol,xh xho,yi yid ji,yo yor,za zha,
zh zho chi cmn chs cht cn,zu zul
"""
# others that video sites and players use; the last are for none, several or an unknown language
_OTHERS = """
ach acm ang apc arq ary arz ase ast awa bar bcl bem bfi bho bua ceb chr ckb crh crs csb doi dsb fil frp frr fur gaa gom
grc gsw hak haw hil hmn hsb ilo kab kmr kok krc kri ksh lij lld lmo loz lua luo lzh mag mai mfe mni mwr nah nan nap nds
new nso nyn pag pam pap pcm pes pms pnb prs quc rom sah sat scn sco sgn shi syr szl tlh tpi tum tyv tzm udm vec vro war
wuu yua yue zgh und mul mis zxx
"""
_NAMES = """
arabic ar,bengali bn,bulgarian bg,chinese zh,croatian hr,czech cs,danish da,dutch nl,english en,finnish fi,french fr,
german de,greek el,hebrew he,hindi hi,hungarian hu,indonesian id,italian it,japanese ja,korean ko,norwegian no,
persian fa,polish pl,portuguese pt,romanian ro,russian ru,serbian sr,slovak sk,slovenian sl,spanish es,swedish sv,
thai th,turkish tr,ukrainian uk,vietnamese vi,čeština cs,dansk da,deutsch de,ελληνικά el,español es,suomi fi,
français fr,italiano it,日本語 ja,한국어 ko,magyar hu,nederlands nl,norsk no,polski pl,português pt,română ro,
русский ru,svenska sv,türkçe tr,українська uk,中文 zh
"""
_CODES: dict[str, str] = {code: code for code in _OTHERS.split()}
for _group in _SAME.split(","):
    _first, *_more = _group.split()
    _CODES |= dict.fromkeys((_first, *_more), _first)
for _entry in _NAMES.split(","):
    _first, _code = _entry.split()
    _CODES[_first] = _code

# English words that are codes, too: at the end of a title they are words
_WORDS = """
arm bar ben cat che doi fry fur hat her ice kat kin lug mag may nap new pan rom rum run sag sat sin sun ton war
am as be he hi id is it my no or so to
"""
# en, en-US, pt_BR, zh-Hans, es-419, en-orig, en-x-autogen; and en-ehkg1hFWq8A, a named track of YouTube with its id
_TAG = re.compile(r"([^\W\d_]{2,12})((?:[-_][A-Za-z0-9]{1,8})*)(?:-[A-Za-z0-9_-]{11})?")


def language_code(tag: str) -> str:
    """The code of a tag's language, two letters where it has them: "en" of "eng", "en-US" and "English"; else ""."""
    found = _TAG.fullmatch(tag)
    return _CODES.get(found[1].lower(), "") if found else ""


def short_tag(tag: str) -> str:
    """A tag with the code of its language in place of other names for it: "en-US" of "eng-US", "de" of "German"."""
    found = _TAG.fullmatch(tag)
    return f"{language_code(tag)}{tag[found.end(1) :]}" if found and language_code(tag) else tag


def subtags(tag: str) -> list[str]:
    """The parts of a tag after its language, in lower case: ["hans"] of "zh-Hans"."""
    return re.split("[-_]", tag.lower())[1:]


def may_be_a_word(tag: str) -> bool:
    """True if a tag at the end of a title is more likely an English word: "pan", "It"; "it" is Italian."""
    return tag.lower() in _WORDS.split() and (len(tag) > 2 or tag.istitle())
