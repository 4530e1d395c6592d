-- What changes about members: each kind of change in a table of its own, joined when it is read.

ALTER TABLE member                               -- all NULL for a member who is no factory
    ADD COLUMN business_name        text,
    ADD COLUMN energy_type          text,
    ADD COLUMN daily_consumption_wh bigint,
    ADD COLUMN available_energy_wh  bigint,
    ADD COLUMN opening_book         text COLLATE "C",
    ADD COLUMN opening_energy_wh    bigint,
    ADD COLUMN opening_asset        text,
    ADD COLUMN opening_stroops      bigint;

CREATE TABLE member_roles (                      -- no row: the roles of the registration
    member     text COLLATE "C" PRIMARY KEY,
    stream     text COLLATE "C" NOT NULL,
    sequence   bigint NOT NULL,
    roles      text[] NOT NULL,
    granted_at timestamptz NOT NULL
);

CREATE TABLE member_key (                        -- no row: the key of the registration
    member     text COLLATE "C" PRIMARY KEY,
    stream     text COLLATE "C" NOT NULL,
    sequence   bigint NOT NULL,
    address    text NOT NULL,
    rotated_at timestamptz NOT NULL
);

CREATE TABLE member_suspension (                 -- no row: never suspended
    member       text COLLATE "C" PRIMARY KEY,
    stream       text COLLATE "C" NOT NULL,
    sequence     bigint NOT NULL,
    is_suspended boolean NOT NULL,
    reason       text NOT NULL,
    decided_at   timestamptz NOT NULL
);
