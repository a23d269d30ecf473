"""What the made-up function calls are about: functions, their parameters, and how a person asks for them.

All of it is invented here. None of it is taken from a benchmark; a test compares what comes out with BFCL's questions.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """`values` names a pool of values.py. `phrase` is said only when an optional parameter is used."""

    name: str
    type: str
    values: str
    description: str
    phrase: str = ""


@dataclass(frozen=True)
class Topic:
    """Functions of the same sense, by any of `names`; a question of `asks` holds each required parameter in braces."""

    names: tuple[str, ...]
    description: str
    asks: tuple[str, ...]
    parameters: tuple[Parameter, ...]


def _topic(names: str, description: str, asks: str, *parameters: str) -> Topic:
    """Each parameter is `name type pool | description | phrase`."""
    read = []
    for text in parameters:
        head, said, *phrase = (part.strip() for part in text.split("|"))
        name, kind, values = head.split()
        read.append(Parameter(name, kind, values, said, phrase[0] if phrase else ""))
    return Topic(tuple(names.split()), description, tuple(ask.strip() for ask in asks.split("|")), tuple(read))


UNIT = "unit string length_unit | Unit of the result. | Give it in {v}."

TOPICS = (
    _topic(
        "garden.soil_volume soil_volume compute_soil_volume",
        "Volume of soil that fills a garden bed.",
        "How much soil fills a bed that is {length} long, {width} wide and {depth} deep? | "
        "Work out the soil volume for a bed of length {length}, width {width} and depth {depth}.",
        "length integer small | Length of the bed in feet.",
        "width integer small | Width of the bed in feet.",
        "depth integer small | Depth of the bed in inches.",
        "unit string volume_unit | Unit of the volume, default is 'cubic feet'. | I need the result in {v}.",
    ),
    _topic(
        "painting.wall_coverage wall_coverage get_wall_area",
        "Area of a wall less its windows.",
        "A wall is {height} meters high and {breadth} meters broad. What area do I paint? | "
        "Tell me the paintable area of a wall with height {height} and breadth {breadth}.",
        "height float decimal | Height of the wall in meters.",
        "breadth float decimal | Breadth of the wall in meters.",
        "windows integer small | Number of windows, default is 0. | It has {v} windows.",
    ),
    _topic(
        "recipe.scale scale_recipe adjust_servings",
        "Scale a recipe to another number of servings.",
        "Scale the {dish} recipe to {servings} servings. | I cook {dish} for {servings} people, adjust the recipe.",
        "dish string dish | Name of the dish.",
        "servings integer small | How many people eat.",
        "vegan boolean yes | Whether to leave out animal products. | Make it vegan.",
    ),
    _topic(
        "library.find_book find_book search_catalogue",
        "Look for a book in the city library.",
        "Does the library have {title} by {author}? | Look up the book {title} written by {author}.",
        "title string title | Title of the book.",
        "author string person | Full name of the author.",
        "branch string place | Branch to look in. | Check the branch in {v}.",
        "year integer year | Year of the edition. | It has to be the {v} edition.",
    ),
    _topic(
        "trains.next_departure next_train get_departures",
        "Next trains between two stations.",
        "When does the next train from {origin} to {destination} leave? | Find trains from {origin} to {destination}.",
        "origin string place | Station of departure.",
        "destination string place | Station of arrival.",
        "date string date | Day of travel as YYYY-MM-DD. | I travel on {v}.",
        "seats integer small | Number of seats, default is 1. | We need {v} seats.",
        "first_class boolean yes | Whether to travel first class. | Only first class, please.",
    ),
    _topic(
        "currency.exchange exchange_money convert_amount",
        "Change an amount of money into another currency.",
        "How much is {amount} {source} in {target}? | Change {amount} {source} to {target}.",
        "amount integer big | Amount to change.",
        "source string currency | Code of the currency that is given.",
        "target string currency | Code of the currency that is wanted.",
    ),
    _topic(
        "energy.kinetic kinetic_energy calc_kinetic_energy",
        "Kinetic energy of a moving body.",
        "What kinetic energy has a body of {mass} kg at {speed} m/s? | "
        "Get the kinetic energy for mass {mass} kg and speed {speed} m/s.",
        "mass integer medium | Mass in kilograms.",
        "speed integer medium | Speed in meters per second.",
        "precision integer small | Digits after the point, default is 2. | Round it to {v} digits.",
    ),
    _topic(
        "savings.grow savings_growth project_savings",
        "Value of savings after some years with compound interest.",
        "I put {deposit} dollars aside at {rate} interest. What is it worth after {years} years? | "
        "Project savings of {deposit} dollars over {years} years at a rate of {rate}.",
        "deposit integer big | The first deposit in dollars.",
        "rate float rate | Interest a year as a decimal.",
        "years integer small | Number of years.",
        "compounds integer medium | Times a year, default is 1. | It compounds {v} times a year.",
    ),
    _topic(
        "stats.spread measure_spread list_spread",
        "Spread of a list of numbers.",
        "How spread out are the numbers {numbers}? | Measure the spread of the list {numbers}.",
        "numbers array:integer small | The numbers.",
        "sample boolean yes | Whether the numbers are a sample, default is false. | Treat them as a sample.",
    ),
    _topic(
        "weather.outlook weather_outlook fetch_weather",
        "Weather of the coming days at a place.",
        "What will the weather be in {place} over the next {days} days? | Show the {days} day outlook for {place}.",
        "place string place | City.",
        "days integer small | Number of days.",
        "scale string temperature | Scale of temperature. | Use {v}.",
    ),
    _topic(
        "music.queue queue_songs add_to_queue",
        "Queue songs of an artist.",
        "Queue {count} songs by {artist}. | Put {count} tracks of {artist} in line.",
        "artist string person | Name of the artist.",
        "count integer small | How many songs.",
        "mood string mood | Mood of the songs. | Something {v}.",
    ),
    _topic(
        "fitness.burned calories_burned estimate_calories",
        "Calories that an exercise uses.",
        "How many calories do I burn with {minutes} minutes of {exercise}? | "
        "Estimate the calories for {exercise} lasting {minutes} minutes.",
        "exercise string sport | The exercise.",
        "minutes integer medium | How long it lasts.",
        "weight float decimal | Body weight in kilograms. | My weight is {v} kg.",
    ),
    _topic(
        "museum.tickets museum_ticket_price ticket_price",
        "Price of tickets to a museum.",
        "What do {adults} adult tickets to the museum in {place} cost? | Price {adults} adults for the {place} museum.",
        "place string place | City of the museum.",
        "adults integer small | Number of adults.",
        "children integer small | Number of children, default is 0. | Add {v} children.",
        "day string weekday | Day of the visit. | We come on {v}.",
    ),
    _topic(
        "text.count_word count_word word_frequency",
        "How often a word stands in a text.",
        "How often does the word {word} occur in the text {text}? | Count {word} in {text}.",
        "word string word | The word.",
        "text string sentence | The text.",
        "ignore_case boolean yes | Whether case does not matter. | Ignore case.",
    ),
    _topic(
        "number.digit_sum digit_sum sum_of_digits",
        "Sum of the digits of a number.",
        "Add up the digits of {number}. | What is the digit sum of {number}?",
        "number integer big | The number.",
    ),
    _topic(
        "chem.dilute dilution_volume dilute_solution",
        "Volume of stock that a dilution needs.",
        "How much stock of {stock} molar do I need for {volume} ml of a {wanted} molar solution? | "
        "Dilute a {stock} molar stock to {volume} ml at {wanted} molar.",
        "stock float decimal | Concentration of the stock.",
        "wanted float decimal | Concentration that is wanted.",
        "volume integer medium | Final volume in milliliters.",
    ),
    _topic(
        "property.search find_flats search_rentals",
        "Flats to rent.",
        "Find flats in {place} with {rooms} rooms for at most {rent} a month. | "
        "Search rentals in {place}: {rooms} rooms, up to {rent} dollars.",
        "place string place | City.",
        "rooms integer small | Number of rooms.",
        "rent integer big | Highest rent a month.",
        "features array:string feature | Things that it must have. | It must have {v}.",
    ),
    _topic(
        "law.case_lookup lookup_case case_details",
        "Details of a court case.",
        "Get the details of case {number} in {place}. | Look up court case {number} heard in {place}.",
        "number string code | Number of the case.",
        "place string place | Where it was heard.",
        "full boolean yes | Whether to give the full text. | I want the full text.",
    ),
    _topic(
        "biology.cell_count cell_growth bacteria_after",
        "Number of cells after some time of doubling.",
        "A dish holds {start} cells that double every {doubling} minutes. How many after {minutes} minutes? | "
        "Compute the cell count for {start} cells, doubling time {doubling} minutes, after {minutes} minutes.",
        "start integer big | Cells at the start.",
        "doubling integer medium | Minutes in which they double.",
        "minutes integer medium | Minutes that go by.",
    ),
    _topic(
        "history.who_ruled ruler_of leader_in_year",
        "Who ruled a country in a year.",
        "Who ruled {country} in {year}? | Name the ruler of {country} in the year {year}.",
        "country string country | The country.",
        "year integer year | The year.",
    ),
    _topic(
        "cinema.find_showing find_showings movie_times",
        "Showings of a film.",
        "When is {film} shown in {place}? | Find showings of {film} in {place}.",
        "film string title | Title of the film.",
        "place string place | City.",
        "date string date | Day as YYYY-MM-DD. | On {v}.",
        "formats array:string format | Formats that are fine. | In {v}.",
    ),
    _topic(
        "sensor.dew_point dew_point compute_dew_point",
        "Dew point of air.",
        "What is the dew point at {temperature} degrees and {humidity} percent humidity? | "
        "Dew point for a temperature of {temperature} and humidity {humidity} percent.",
        "temperature float decimal | Temperature in Celsius.",
        "humidity integer medium | Relative humidity in percent.",
    ),
    _topic(
        "game.roll_dice roll_dice throw_dice",
        "Throw dice.",
        "Roll {count} dice with {sides} sides. | Throw {count} {sides}-sided dice.",
        "count integer small | Number of dice.",
        "sides integer medium | Sides of a die.",
        "bonus integer small | Added to the sum, default is 0. | Add a bonus of {v}.",
    ),
    _topic(
        "team.standings league_table get_standings",
        "Table of a league.",
        "Show the table of the {league} for {season}. | How does the {league} stand in the {season} season?",
        "league string league | Name of the league.",
        "season integer year | Year of the season.",
        "top integer small | How many teams, default is all. | Only the top {v}.",
    ),
    _topic(
        "vector.scaled_dot dot_product inner_product",
        "Inner product of two vectors.",
        "Multiply the vectors {a} and {b}. | Get the inner product of {a} and {b}.",
        "a array:integer small | The first vector.",
        "b array:integer small | The second vector.",
    ),
    _topic(
        "delivery.order order_meal place_order",
        "Order a meal from a restaurant.",
        "Order {items} from {restaurant}. | I would like {items} delivered by {restaurant}.",
        "restaurant string restaurant | Name of the restaurant.",
        "items array:string dish | What to order.",
        "tip float decimal | Tip in dollars. | Leave a tip of {v} dollars.",
    ),
    _topic(
        "lens.focal_length focal_length image_distance",
        "Distance of the image that a lens makes.",
        "Where is the image of an object {distance} cm from a lens of focal length {focal} cm? | "
        "Object at {distance} cm, focal length {focal} cm: find the image.",
        "distance integer medium | Distance of the object in centimeters.",
        "focal integer medium | Focal length in centimeters.",
        UNIT,
    ),
    _topic(
        "calendar.add_event create_event schedule_event",
        "Put an event in the calendar.",
        "Schedule {event} on {date} at {time}. | Put {event} in my calendar for {date}, {time}.",
        "event string event | What it is.",
        "date string date | Day as YYYY-MM-DD.",
        "time string time | Time as HH:MM.",
        "guests array:string person | Who is invited. | Invite {v}.",
    ),
)
