//! What the guards know of English: small closed lists, each of them of one sort of word.
//!
//! Words stand here as they are written; what is looked up is their stem, on both sides.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;

use super::stem::{key, stem_key};

/// What a word does in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It says what the question is about.
    Content,
    /// A number, or a code with digits in it.
    Number,
    /// It holds the sentence together.
    Function,
    /// It says little, but where it stands may matter: `just`, `really`, `also`.
    Light,
    /// Courtesy and padding: `please`, `exactly`.
    Filler,
    /// `not`, `never`, `without`.
    Negation,
    /// `get`, `know`: verbs that say little.
    Weak,
    /// `he`, `her`.
    Pronoun,
    /// `and`, `or`, `versus`.
    Joint(Joint),
    /// `what`, `how`, `why`.
    Asking(Asking),
    /// `can`, `will`, `did`.
    Verb(Tense),
    /// `in`, `of`, `to`.
    Preposition,
}

/// How two things are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joint {
    And,
    Or,
    Versus,
}

/// What a word asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    What,
    How,
    Why,
    When,
    Where,
    Who,
}

/// What an auxiliary verb says of time and of how sure something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tense {
    Present,
    Past,
    Future,
    Can,
    Should,
    Must,
    Would,
}

/// What a guard looks for in single words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Note {
    #[default]
    None,
    /// `a`, `an`, `the`.
    Article,
    /// Something went wrong: `problem`, `declined`, `lost`.
    Trouble,
    /// `second`, `next`.
    Ordinal,
    /// Means the same wherever it stands: `which laptop is best`, `which is the best laptop`.
    Frame,
    /// Not what it is: what it was, or will be: `former`, `becoming`.
    Change,
    /// `if`, `why`, `whether`: a `not` after it denies nothing.
    Perhaps,
    By,
    Use,
    Used,
    To,
    From,
    /// `is`, `were`.
    Be,
    All,
    Some,
    /// `i`, `people`: who does it, without a name.
    Anybody,
}

/// What is known of one stem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) class: Class,
    /// The circles of words that mean the same, 0 for none.
    pub(crate) same: [u16; 3],
    /// The sets of words of which one cannot stand for another, 0 for none.
    pub(crate) sort: [u16; 2],
}

impl Known {
    pub(crate) const UNKNOWN: Self = Self { class: Class::Content, same: [0; 3], sort: [0; 2] };

    pub(crate) fn means(&self, other: &Self) -> bool {
        self.same.iter().any(|circle| *circle != 0 && other.same.contains(circle))
    }

    pub(crate) fn is_of_sort(&self, other: &Self) -> bool {
        self.sort.iter().any(|sort| *sort != 0 && other.sort.contains(sort))
    }
}

/// The lists, by stem.
pub(crate) struct Lexicon {
    words: HashMap<u64, Known, BuildHasherDefault<Same>>,
    opposites: HashMap<(u64, u64), (), BuildHasherDefault<Same>>,
    /// By the key of the word as it stands.
    notes: HashMap<u64, Note, BuildHasherDefault<Same>>,
    numbers: HashMap<u64, f64, BuildHasherDefault<Same>>,
}

impl Lexicon {
    pub(crate) fn get() -> &'static Self {
        static LEXICON: OnceLock<Lexicon> = OnceLock::new();
        LEXICON.get_or_init(Lexicon::read)
    }

    /// What is known of a stem.
    pub(crate) fn of(&self, stem: u64) -> Known {
        self.words.get(&stem).copied().unwrap_or(Known::UNKNOWN)
    }

    /// What is noted of a word as it stands.
    pub(crate) fn note(&self, word: u64) -> Note {
        self.notes.get(&word).copied().unwrap_or_default()
    }

    /// The number that a word says.
    pub(crate) fn number(&self, word: u64) -> Option<f64> {
        self.numbers.get(&word).copied()
    }

    /// Whether two stems are opposites.
    pub(crate) fn are_opposite(&self, a: u64, b: u64) -> bool {
        self.opposites.contains_key(&(a.min(b), a.max(b)))
    }

    fn read() -> Self {
        let mut lexicon = Self {
            words: HashMap::default(),
            opposites: HashMap::default(),
            notes: HashMap::default(),
            numbers: NUMBERS.iter().map(|(name, value)| (key(name), *value)).collect(),
        };
        for (note, words) in NOTES {
            lexicon.notes.extend(words.split_whitespace().map(|word| (key(word), *note)));
        }
        for (class, words) in CLASSES {
            for word in words.split_whitespace() {
                // Function words are looked up as they stand: their stems say nothing.
                lexicon.known(key(word)).class = *class;
            }
        }
        for (circle, words) in (1..).zip(lines(SAME)) {
            for word in words.split_whitespace() {
                let places = &mut lexicon.known(stem_key(word)).same;
                if let Some(free) = places.iter_mut().find(|place| **place == 0) {
                    *free = circle;
                }
            }
        }
        for (sort, words) in (1..).zip(lines(SORTS)) {
            for word in words.split_whitespace() {
                let places = &mut lexicon.known(stem_key(word)).sort;
                if let Some(free) = places.iter_mut().find(|place| **place == 0) {
                    *free = sort;
                }
            }
        }
        for line in lines(OPPOSITES) {
            let Some((one, other)) = line.split_once('|') else { continue };
            for a in one.split_whitespace() {
                for b in other.split_whitespace() {
                    let (a, b) = (any_key(&lexicon, a), any_key(&lexicon, b));
                    lexicon.opposites.insert((a.min(b), a.max(b)), ());
                }
            }
        }
        lexicon
    }

    fn known(&mut self, key: u64) -> &mut Known {
        self.words.entry(key).or_insert(Known::UNKNOWN)
    }
}

/// The key under which a word of a list is met in a text: a function word as it stands, any other by its stem.
fn any_key(lexicon: &Lexicon, word: &str) -> u64 {
    let plain = key(word);
    match lexicon.words.get(&plain) {
        Some(known) if known.class != Class::Content => plain,
        _ => stem_key(word),
    }
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// Keys are hashes already.
#[derive(Default)]
pub(crate) struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(17) ^ number;
    }
}

const CLASSES: &[(Class, &str)] = &[
    (
        Class::Function,
        "a an the this that these those there here it its itself i me my mine myself we us our ours ourselves you your \
         yours yourself u ur one ones oneself someone somebody anyone anybody everyone everybody people they them their \
         theirs themselves something anything thing things stuff some any each such so as if whether than then \
         but because since though although while of s t im etc eg ie vs way ways kind kinds sort sorts type types \
         let lets please kindly \
         yes ok okay well much many lot lots few bit per own same else ever",
    ),
    (
        Class::Weak,
        "be being been get gets getting got gotten have having go going do doing done make makes making made want wants \
         wanted need needs needed know knows knew tell tells told show shows give gives gave help helps find finds like",
    ),
    (
        Class::Light,
        "all every each just only really even also too still already again yet almost nearly very quite rather so-called",
    ),
    (
        Class::Filler,
        "please kindly exactly actually truly basically literally simply hi hello hey thanks thank dear sir madam guys \
         maybe perhaps somehow anyway currently fact indeed certainly definitely generally usually normally possible \
         possibly probably particular specifically",
    ),
    (
        Class::Negation,
        "not no never none neither nor without cannot nobody nothing nowhere hardly barely rarely seldom non except \
         excluding",
    ),
    (Class::Pronoun, "he him his himself she her hers herself"),
    (Class::Joint(Joint::And), "and plus both simultaneously together"),
    (Class::Joint(Joint::Or), "or either"),
    (Class::Joint(Joint::Versus), "vs versus v"),
    (Class::Asking(Asking::What), "what which whatever"),
    (Class::Asking(Asking::How), "how"),
    (Class::Asking(Asking::Why), "why reason reasons"),
    (Class::Asking(Asking::When), "when"),
    (Class::Asking(Asking::Where), "where"),
    (Class::Asking(Asking::Who), "who whom whose"),
    (Class::Verb(Tense::Present), "is are am do does has have 're"),
    (Class::Verb(Tense::Past), "was were did had"),
    (Class::Verb(Tense::Future), "will shall gonna"),
    (Class::Verb(Tense::Can), "can could may might able"),
    (Class::Verb(Tense::Should), "should ought"),
    (Class::Verb(Tense::Must), "must"),
    (Class::Verb(Tense::Would), "would"),
    (
        Class::Preposition,
        "in on at of to for from by with about into onto upon over under through during within between among across \
         against towards toward around near via per until till off out up down regarding concerning besides beyond \
         inside outside above below behind beneath beside after before",
    ),
];

const NOTES: &[(Note, &str)] = &[
    (Note::Article, "a an the"),
    (
        Note::Trouble,
        "problem problems trouble troubles issue issues error errors difficulty unable fail fails failed failing failure \
         decline declined declining denied deny denies denying reject rejected stop stopped stops prevent prevents avoid \
         lack lacks wrong broken refuse refused lost stolen missing unsure unsuccessful hate hates against besides apart",
    ),
    (Note::Ordinal, "second third fourth fifth next previous"),
    (Note::Frame, "best difference differences different differ"),
    (Note::Change, "becoming becomes former formerly ex wannabe aspiring pre post"),
    (Note::Perhaps, "if why whether"),
    (Note::By, "by"),
    (Note::Use, "use"),
    (Note::Used, "used"),
    (Note::To, "to into onto towards"),
    (Note::From, "from"),
    (Note::Be, "is are am was were be been being"),
    (Note::All, "all every each"),
    (Note::Some, "some several"),
    (
        Note::Anybody,
        "i you we they it one someone somebody anyone anybody everyone everybody people u this that there",
    ),
];

const NUMBERS: &[(&str, f64)] = &[
    ("zero", 0.0),
    ("two", 2.0),
    ("three", 3.0),
    ("four", 4.0),
    ("five", 5.0),
    ("six", 6.0),
    ("seven", 7.0),
    ("eight", 8.0),
    ("nine", 9.0),
    ("ten", 10.0),
    ("eleven", 11.0),
    ("twelve", 12.0),
    ("thirteen", 13.0),
    ("fourteen", 14.0),
    ("fifteen", 15.0),
    ("sixteen", 16.0),
    ("seventeen", 17.0),
    ("eighteen", 18.0),
    ("nineteen", 19.0),
    ("twenty", 20.0),
    ("thirty", 30.0),
    ("forty", 40.0),
    ("fifty", 50.0),
    ("sixty", 60.0),
    ("seventy", 70.0),
    ("eighty", 80.0),
    ("ninety", 90.0),
    ("hundred", 100.0),
    ("thousand", 1e3),
    ("lakh", 1e5),
    ("million", 1e6),
    ("crore", 1e7),
    ("billion", 1e9),
];

/// Circles of words that mean the same in a question.
const SAME: &str = "
    begin start commence
    buy purchase
    movie film
    big large huge
    small little tiny
    quick quickly fast rapid rapidly speedy
    good best great top better nice excellent finest awesome amazing
    bad terrible awful
    important necessary essential
    difference differ different distinguish differentiate
    reduce lose decrease lower
    increase raise boost improve gain
    improve enhance better
    earn make
    job work career employment
    mobile phone cellphone smartphone
    picture photo image photograph pic
    picture dp
    doctor physician
    medicine medication drug med
    sickness illness disease
    university college
    child kid children
    parent mom dad
    mother mom mum mommy
    father dad daddy
    car automobile
    home house
    city town
    country nation
    money cash
    cost price expensive
    cost price charge fee
    fix repair
    solve fix resolve
    error problem issue trouble
    application app
    program programming code coding
    software program app
    book novel
    sexual sex intercourse
    abdomen stomach belly tummy
    pregnant pregnancy
    happen occur
    happen cause
    create make build develop
    choose select pick
    use utilize
    benefit advantage pro
    disadvantage drawback con
    answer reply response respond
    ask question
    question query
    learn study
    teach instruct
    begin beginner
    method way technique
    tip trick advice suggestion
    remove delete erase
    hack crack
    recover restore retrieve
    password passcode
    account profile
    email mail gmail
    website site webpage
    internet online web
    online internet
    india indian
    america american us usa unitedstates
    england english
    uk britain british
    china chinese
    russia russian
    pakistan pakistani
    think feel believe opinion view
    love like
    dislike hate
    mean meaning definition define
    definition concept
    example instance
    famous popular
    beautiful pretty
    rich wealthy
    smart intelligent clever
    hard difficult tough
    easy simple
    safe secure
    dangerous unsafe harmful risky hazardous
    effect impact affect influence
    side-effect effect
    cure treat treatment remedy heal
    prevent avoid
    symptom sign
    test exam examination
    prepare preparation
    recommend suggest recommendation
    apply application
    travel trip journey
    visit see
    watch see
    tv television
    show series
    vacation holiday pto
    remain left leave
    lose lost missing misplace
    steal stolen theft
    receive get arrive
    deliver delivery arrive
    activate activation
    transfer send
    top-up topup
    verify verification
    limit limitation restriction
    status update
    company firm business
    startup business
    employee worker staff
    boss manager
    hire recruit
    salary pay wage income paycheck
    interview hiring
    country nation state
    war conflict
    president leader potus
    election elect vote
    die death dead
    kill murder
    birth born
    marry marriage wed wedding
    relationship date dating
    girl woman female lady
    boy man male guy
    husband spouse
    wife spouse
    person human individual man
    human humans
    life live living
    world earth
    universe space world
    time period
    year annual
    kilogram kg kilo
    kilometer km kilometre
    meter metre m
    centimeter cm centimetre
    hour hr
    minute min
    second sec
    pound lb lbs
    dollar usd
    rupee rs inr
    euro eur
    percent percentage
    january jan
    february feb
    march mar
    april apr
    june jun
    july jul
    august aug
    september sept sep
    october oct
    november nov
    december dec
    number no
    mathematics math maths
    laptop notebook
    computer pc
    photo picture
    advice recommendation
    want wish
    exist real
    true real actual
    average typical mean
    ill sick unwell
    hurt pain painful ache
    tired fatigue exhausted
    scared afraid frightened fearful
    happy glad
    sad unhappy
    angry mad
    quit resign
    end finish
    stop quit
    close shut
    keep retain
    speak talk
    say tell
    language tongue
    grow growth
    weight fat
    diet food
    eat consume
    drink consume
    exercise workout training
    train training
    sleep asleep
    infection infected
    operation surgery op
    skin complexion
    kill suicide
    commit suicide
    vehicle car
    flight fly
    earth world
    block blocked
    hide conceal
    fund money
    invest investment
    loan credit
    tax taxation
    law legal
    rule regulation
    currency money note
    ban demonetize demonetization
    scrap ban
    site website
    place location spot
    hotel accommodation
    guide tutorial
    course class
    school college
    teacher professor
    student pupil
    mark score grade
    rank ranking
    score point
    major biggest main
    main primary principal
    kind type sort
    sad depressed depression
    anxiety anxious
    weed marijuana cannabis
    rid remove
    rid away
    hair baldness
    pimple acne
    period menstruation menstrual menses
    sperm semen cum
    ejaculate cum
    contraceptive contraception
    std sti
    urine pee urinate urination
    poop stool
    fever temperature
    swell swelling swollen
    red redness
    itch itchy itching
    bleed bleeding blood
    lump bump
";

/// Sorts of words: one of a sort cannot stand for another of it.
const SORTS: &str = "
    red blue green yellow black white orange purple pink brown grey gray silver golden
    monday tuesday wednesday thursday friday saturday sunday
    january february march april may june july august september october november december
    spring summer autumn winter
    morning noon afternoon evening night midnight
    am pm
    second minute hour day week month year decade century
    daily weekly monthly yearly annual hourly
    kilogram gram milligram ton tonne pound ounce
    kilometer meter centimeter millimeter mile inch foot yard
    liter litre milliliter gallon pint
    byte kilobyte megabyte gigabyte terabyte kb mb gb tb
    celsius fahrenheit kelvin
    dollar euro rupee yen yuan peso franc ruble won krona
    north south east west
    northern southern eastern western
    dog cat bird fish snake monkey turtle hamster rabbit spider owl chicken horse cow goat sheep pig mouse rat lizard snail parrot duck frog tiger lion bear wolf fox elephant puppy kitten
    body head face eye ear nose mouth tooth teeth lip tongue neck shoulder arm elbow wrist hand finger thumb chest breast back stomach hip leg knee ankle foot feet toe jaw chin throat heart lung liver kidney brain spine thigh groin bone rib butt buttock calf heel shin forehead cheek nail penis vagina uterus ovary bladder
    brother sister
    mother father uncle aunt grandmother grandfather
    son daughter nephew niece
    husband wife boyfriend girlfriend friend
    king queen prince princess
    man woman
    boy girl
    male female
    football soccer baseball basketball cricket tennis hockey golf rugby volleyball badminton chess
    piano guitar violin drum flute saxophone ukulele
    physics chemistry biology mathematics history geography economics philosophy psychology sociology
    english french german spanish italian portuguese chinese mandarin japanese korean russian arabic hindi urdu bengali tamil telugu dutch swedish turkish greek polish
    american british indian pakistani canadian australian mexican brazilian nigerian bangladeshi iranian iraqi israeli egyptian african asian european vietnamese indonesian filipino thai ukrainian
    christian muslim hindu buddhist jewish sikh atheist catholic protestant
    christianity islam hinduism buddhism judaism sikhism
    democrat republican
    liberal conservative libertarian
    capitalism socialism communism
    breakfast lunch dinner supper
    coffee tea milk water juice beer wine whiskey vodka soda
    chicken beef pork lamb
    rice bread pasta potato
    apple banana grape lemon mango
    one two three four five six seven eight nine ten
    first second third fourth fifth last next previous
    once twice thrice
    android ios windows linux mac macos
    iphone ipad ipod macbook
    java python javascript ruby php perl kotlin swift scala rust go typescript
    facebook twitter instagram whatsapp snapchat linkedin reddit tinder telegram tiktok
    sun moon mercury venus mars jupiter saturn uranus neptune pluto earth
    gold silver copper iron platinum steel aluminium aluminum
    oxygen hydrogen nitrogen carbon helium
    virus bacteria fungus
    diabetes cancer asthma pneumonia flu hiv herpes hepatitis malaria tuberculosis
    engineer doctor lawyer teacher nurse actor singer writer author journalist accountant architect scientist
    civil mechanical electrical chemical aerospace
    visa mastercard amex
    debit credit
    physical virtual
    pin cvv
    domestic international
    bachelor master doctorate phd
    undergraduate graduate postgraduate
    highschool college
    left right
    top bottom
    upper lower middle
    inner outer
    beginner intermediate advanced expert
    past present future
    import export
    used remaining
";

/// What is one way and what is the other.
const OPPOSITES: &str = "
    before | after
    before after | during while
    over above | under below beneath
    inside into | out outside
    within | outside beyond
    on | off
    up | down
    with | without
    for | against
    more | less fewer
    most | least
    much | little
    many | few
    better | worse
    best better good great | worst worse bad
    always | never rarely seldom sometimes
    ever | never
    all every | none no
    everything | nothing
    everyone everybody | nobody
    high higher highest | low lower lowest
    big bigger biggest large larger largest | small smaller smallest little tiny
    long longer longest | short shorter shortest
    tall taller tallest | short shorter shortest
    fast faster fastest quick quickly rapid | slow slower slowest slowly
    old older oldest | new newer newest young younger youngest
    early earlier earliest | late later latest
    hot hotter hottest warm | cold colder coldest cool
    hard harder hardest difficult tough | easy easier easiest simple soft
    heavy heavier heaviest | light lighter lightest
    strong stronger strongest | weak weaker weakest
    rich richer richest wealthy | poor poorer poorest
    cheap cheaper cheapest | expensive costly
    thick thicker | thin thinner
    fat | thin skinny slim
    wide wider | narrow narrower
    deep deeper | shallow
    full | empty
    open opened opening | close closed closing shut
    start begin commence | stop end finish quit
    increase raise grow gain boost | decrease reduce lower shrink lose drop
    maximum max maximize | minimum min minimize
    add insert | remove delete subtract
    install | uninstall remove
    enable activate allow turn | disable deactivate forbid block
    allow permit legalize | ban forbid prohibit block prevent
    accept | reject decline refuse deny
    agree | disagree
    approve | reject disapprove
    win won winner victory | lose lost loser defeat
    buy purchase | sell
    lend | borrow
    give | take receive
    send | receive
    push | pull
    enter join | leave exit quit
    come arrive | go leave depart
    import | export
    upload | download
    encrypt encode | decrypt decode
    lock | unlock
    connect | disconnect
    attach | detach
    love like | hate dislike
    live alive | die dead death
    birth born | death died dead
    marry married marriage | divorce divorced single
    create build make | destroy
    remember | forget
    teach | learn
    ask | answer
    question | answer
    true | false fake
    right correct | wrong incorrect
    right | left
    real | fake
    possible | impossible
    legal | illegal
    moral ethical | immoral unethical
    safe | dangerous unsafe harmful
    healthy | unhealthy harmful
    benefit advantage pro good | harm disadvantage drawback con risk danger
    beneficial | harmful
    positive | negative
    strength | weakness
    success successful succeed | failure unsuccessful fail
    happy happier | sad unhappy sadder
    friend | enemy
    public | private
    male man boy he him his | female woman girl she her
    husband | wife
    brother | sister
    father | mother
    son | daughter
    boyfriend | girlfriend
    internal inner interior | external outer exterior
    indoor | outdoor
    import | export
    major | minor
    majority | minority
    front | back rear
    top | bottom
    first | last
    previous | next
    past | future
    ancient | modern
    day | night
    morning | evening night
    sunrise | sunset
    summer | winter
    north | south
    east | west
    northern | southern
    eastern | western
    rural | urban
    raw uncooked | cooked
    home house | office
    active | passive inactive
    direct | indirect
    formal | informal
    natural | artificial
    organic | inorganic
    absolute | relative
    acid acidic | base basic alkaline
    liquid | solid gas
    static | dynamic kinetic
    physical | mental virtual
    wet | dry
    clean | dirty
    loud | quiet
    bright light | dark dim
    smart intelligent | stupid dumb
    brave | cowardly
    kind | cruel mean
    proud | humble modest
    patient | impatient
    polite | rude
    generous | selfish
    optimist optimistic | pessimist pessimistic
    introvert introverted | extrovert extroverted
    employed | unemployed
    offense attack | defense defend
    innocent | guilty
    lawful | unlawful
    include | exclude
    appear | disappear
    rise | fall
    inhale | exhale
    expand | contract shrink
    profit | loss
    debit | credit
    asset | liability
    supply | demand
    income | expense
    deposit | withdraw withdrawal
    arrival | departure
    arrive | depart
    online | offline
    manual | automatic
    temporary | permanent
    free | paid
    single | double multiple
    singular | plural
    vertical | horizontal
    clockwise | counterclockwise anticlockwise
    plus | minus
    multiply | divide
    whole | part half
    cause | prevent cure
    treat cure | cause
    symptom | cause treatment
    fever | chill
    gain | loss lose
    used spent taken depleted | left remaining available
    credit score | credit limit
    stay remain | leave
    veg vegetarian vegan | nonveg nonvegetarian meat
    domestic | foreign international
    immigrant | emigrant
    immigrate | emigrate
    teacher | student
    parent | child
    employer | employee
    doctor | patient
    buyer | seller
    predator | prey
    import | export
    senior | junior
    expert | beginner
    above | below
    pre | post
    hyper | hypo
    inter | intra
    macro | micro
    benign | malignant
    acute | chronic
    systolic | diastolic
    type-1 | type-2
    introduce | abolish
    hire | fire
    save | spend waste
    follow | unfollow
    block | unblock
    friend | unfriend
    subscribe | unsubscribe
    lost | found
    lost stolen missing | broken damaged cracked
    broken damaged | fixed repaired
    wake awake | sleep asleep
    sit | stand
    laugh smile | cry
    believe | doubt
    pass | fail
    hide | show reveal
    float | sink
    freeze | melt boil
    attract | repel
    war | peace
    heaven | hell
    god | devil
    virtue | vice
    theory | practice
    input | output
    read | write
    encrypt | plain
    client | server
    frontend | backend
    compile | decompile
    attend | skip miss
";
