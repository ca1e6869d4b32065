"""The closed vocabulary of the twins' language: names, things, places, adjectives and the like."""

NAMES = (
    "Anna Bob Tom Emma Jack Lucy Mary John Peter Paul Sarah David Alice Mark Jane Kate Adam Eva Max Leo Sam Ben Tim "
    "Jim Joe Dan Ann Eric Laura Julia Maria Robert James Henry George Simon Daniel Thomas Martin Frank Oliver "
    "Charlie Sophie Oscar Victor Alex Chris Nick Rose Grace"
).split()

THINGS = (
    "book pen letter box bag ball hat coat ring key clock bell cup plate knife fork cake lamp flag map rope wheel "
    "hammer stick basket bottle phone radio camera picture stone song car boat chair table bird fish cat dog horse"
).split()

WORDS = (
    "cat dog cow horse lion bear bird fish sun moon star sky sea tree leaf rock sand rain snow wind fire ice house "
    "door window table chair bed lamp book pen paper letter box bag ball hat coat shoe ring key clock bell cup "
    "glass plate knife fork bread milk cheese egg apple lemon rice soup cake tea water wine salt sugar red blue "
    "green yellow black white brown orange pink gold silver grey car bus train ship boat plane road bridge river "
    "lake hill mountain field garden park city town village school shop bank church king queen doctor teacher "
    "farmer child boy girl man woman friend hand foot head eye ear nose arm leg heart bone phone radio camera music "
    "song dance game story picture map flag stone metal wood iron cotton silk paint rope wheel engine stick tool "
    "hammer nail needle basket bottle"
).split()

COLOURS = "red blue green yellow black white brown orange pink gold silver grey".split()
PLACES = "house tree river lake hill garden park bridge road school church field door window table bed".split()
TOWNS = "Paris London Rome Berlin Madrid Vienna Dublin Moscow Boston Chicago Houston Dallas Toronto Sydney".split()
ANIMALS = "cat dog cow horse lion bear bird fish sheep duck pig mouse".split()
ADJECTIVES = "old young big small happy sad brown white black quiet fast slow tired little brave kind".split()
VERBS = "sat slept walked ran played waited stood rested danced jumped stayed".split()
PREPOSITIONS = "near under behind by over in".split()
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
